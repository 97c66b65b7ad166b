"""The client: sends the requests of a load and gives each as an exchange with its own times and errors."""

import time
from collections import deque
from collections.abc import Callable, Sequence

from harness.llm.exchange import Exchange
from harness.llm.schedule import Closed, Patience, Schedule
from harness.llm.wire import answer, poller
from harness.llm.wire import stamps as kernel
from harness.llm.wire.connection import Address, Connection, resolve
from harness.llm.wire.course import Call
from harness.llm.wire.flight import Flight
from harness.llm.wire.pool import Pool
from harness.llm.wire.reading import Reading
from harness.llm.wire.target import Target


class HttpClient:
    """Talks to one server; keeps connections between loads. Used by one thread at a time.

    Plain HTTP goes over raw sockets with the kernel's arrival times; `stamps=False` takes the reader's own clock
    instead, as everywhere but on Linux. HTTPS and proxies go through httpx, with the reader's clock; `library=True`
    does so for plain HTTP too, which is how that way is calibrated. `reuse=False` makes a connection for every request.

    `raw` says which way it is, `stamped` whether arrivals are the kernel's, and `cpu_s` how much CPU time this process
    used from the first request to the last answer of the load before, the reading of contents not included.
    """

    def __init__(self, target: Target, *, stamps: bool = True, reuse: bool = True, library: bool = False) -> None:
        self.target = target
        self.reuse = reuse
        self.raw = target.plain and poller.offered() and not library
        self.cpu_s = 0.0
        self.stamped = self.raw and stamps and kernel.offered()
        self._address: Address | None = None
        self._idle: deque[Connection] = deque()

    def exchange(
        self,
        calls: Sequence[Call],
        schedule: Schedule,
        patience: Patience,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Exchange]:
        """Sends the calls by the schedule and gives what came of each, in their order; see `Engine.exchange`.

        A further attempt keeps the intended time of the first, so that what its user waited is seen from there. In a
        closed loop a request is intended when the answer before it has arrived and its user has thought. After a cancel
        those on their way are `cancelled`, and those not sent are left out. Garbage collection is off meanwhile.

        Raises:
            ValueError: an open schedule has not a time for each call.
        """
        if not isinstance(schedule, Closed) and len(schedule.offsets_ns) != len(calls):
            raise ValueError(
                f"Parameter `schedule` should have a time for each of {len(calls)} calls. "
                f"Found {len(schedule.offsets_ns)}."
            )
        if not calls:
            return []
        if not self.raw:
            from harness.llm.wire.library import LibraryLoad

            used = time.process_time()
            flights = LibraryLoad(self.target, calls, schedule, patience, cancelled, reuse=self.reuse).run()
            self.cpu_s = time.process_time() - used
            return _read(flights, schedule, None, self.target)
        offsets = kernel.Offsets() if self.stamped else None
        self._idle = deque(connection for connection in self._idle if _still_good(connection))
        pool = Pool(self._where, self._idle, stamped=self.stamped)
        reading = Reading(self.target, calls, schedule, patience, cancelled, pool, offsets=offsets, reuse=self.reuse)
        used = time.process_time()
        reading.run()
        self.cpu_s = time.process_time() - used
        return _read(reading.flights, schedule, offsets, self.target)

    def _where(self) -> Address:
        if self._address is None:
            self._address = resolve(self.target.host, self.target.port)
        return self._address

    def close(self) -> None:
        """Closes the connections that are kept."""
        while self._idle:
            self._idle.pop().close()


def _still_good(connection: Connection) -> bool:
    if connection.quiet:
        return True
    connection.close()
    return False


def _read(
    flights: Sequence[Flight], schedule: Schedule, offsets: kernel.Offsets | None, target: Target
) -> list[Exchange]:
    """The exchanges of everything that was sent or could not be, in the order of the calls."""
    if offsets is not None:
        offsets.check()
    gone = [flight for flight in flights if flight.exchange.sent_ns or flight.failure is not None]
    for flight in gone:
        answer.fill(flight, offsets, target.missing_key)
    if isinstance(schedule, Closed):
        for flight in gone:
            if flight.previous is not None:
                flight.exchange.intended_ns = flight.previous.exchange.ended_ns + schedule.think_ns
    return sorted((flight.exchange for flight in gone), key=lambda one: (one.index, one.attempt))
