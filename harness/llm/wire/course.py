"""The order of a load: which request is next, what follows from an answer or a failure, and how many are still to end.

Both ways of sending, over raw sockets and through a library, go by it; it knows neither sockets nor threads.
"""

import time
from collections.abc import Sequence

from harness.llm.exchange import Exchange
from harness.llm.request import Request
from harness.llm.schedule import Closed, Patience, Schedule
from harness.llm.wire.flight import Flight
from harness.llm.wire.patience import wait_before_again

Call = tuple[Request, str, bytes]  # what is asked, the path below the base URL, the body


class Course:
    """One load from its first request to its last; `flights` holds every attempt in the order of their making."""

    def __init__(self, calls: Sequence[Call], starts: Sequence[bytes], schedule: Schedule, patience: Patience) -> None:
        """`starts` are what goes before the body of each call."""
        self._calls, self._starts, self._patience = calls, starts, patience
        self._think_ns = schedule.think_ns if isinstance(schedule, Closed) else None
        self._queue = iter(range(len(calls)))
        self.left = len(calls)
        self.flights: list[Flight] = []

    def next(self, intended_ns: int, user: int = 0) -> Flight | None:
        """The first attempt at the next request; None when all were handed out."""
        index = next(self._queue, None)
        return None if index is None else self._flight(index, intended_ns, user)

    def after(self, flight: Flight) -> tuple[Flight | None, int]:
        """What follows once a flight has landed, and its time, 0 for at once.

        That is another attempt, whose intended time is that of the first; or, in a closed loop, the next request of the
        same user, who thinks before it; or nothing.
        """
        wait_s = wait_before_again(flight, self._patience)
        if wait_s is not None:
            first = flight.exchange
            again = self._flight(first.index, first.intended_ns, flight.user, first.attempt + 1)
            again.previous = flight.previous
            return again, time.monotonic_ns() + int(wait_s * 1e9)
        self.left -= 1
        if self._think_ns is None:
            return None, 0
        due_ns = time.monotonic_ns() + self._think_ns
        following = self.next(due_ns, flight.user)
        if following is not None:
            following.previous = flight
        return following, due_ns if self._think_ns else 0

    def _flight(self, index: int, intended_ns: int, user: int, attempt: int = 1) -> Flight:
        request, _, body = self._calls[index]
        flight = Flight(Exchange(index, request, intended_ns, attempt=attempt), self._starts[index], body, user)
        self.flights.append(flight)
        return flight
