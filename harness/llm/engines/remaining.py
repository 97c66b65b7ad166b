"""What is left of a load when its server has ended in the middle and come back: which requests, and their times."""

import time
from collections.abc import Sequence

from harness.llm.exchange import Exchange, Failure
from harness.llm.request import Request
from harness.llm.schedule import Closed, Open, Schedule


class Remaining:
    """A load that is sent in parts; every request ends up in it once for each attempt."""

    def __init__(self, requests: Sequence[Request], schedule: Schedule) -> None:
        self._requests = requests
        self._schedule = schedule
        self._left = list(range(len(requests)))
        self._done: list[Exchange] = []
        self._started_ns = time.monotonic_ns()  # of the load, until an exchange tells it exactly

    @property
    def requests(self) -> list[Request]:
        """Those that were not sent yet."""
        return [self._requests[index] for index in self._left]

    @property
    def schedule(self) -> Schedule:
        """When they are due, counted from now: the times of an open loop stay what they were, users go on at once."""
        if len(self._left) == len(self._requests):
            return self._schedule
        if isinstance(self._schedule, Closed):
            return Closed((0,) * min(self._schedule.users, len(self._left)), self._schedule.think_ns)
        gone_ns = time.monotonic_ns() - self._started_ns
        return Open(tuple(max(0, self._schedule.offsets_ns[index] - gone_ns) for index in self._left))

    def take(self, part: Sequence[Exchange]) -> None:
        """Takes in what came of the requests, whose indexes count from the first of those left."""
        for each in part:
            each.index = self._left[each.index]
        if part and isinstance(self._schedule, Open) and not self._done:
            self._started_ns = part[0].intended_ns - self._schedule.offsets_ns[part[0].index]
        self._done += part
        sent = {each.index for each in part}
        self._left = [index for index in self._left if index not in sent]

    def without_unread(self, part: Sequence[Exchange], broken: Sequence[Exchange]) -> list[Exchange]:
        """The part of a load whose server has ended, without what reached nobody, which is left for later.

        A user of a closed loop who finds nobody there waits: else those few milliseconds before the end is noticed
        would use up the whole load. Nobody is there when the connection is refused, and also when it is broken off and
        was made after the first of the `broken` ones: a dying process still has connections accepted for it. In an
        open loop both stay failures.
        """
        if isinstance(self._schedule, Open):
            return list(part)
        first_ns = min(each.ended_ns for each in broken)
        unread = [
            each
            for each in broken
            if each.sent_ns >= first_ns or (each.failure is not None and each.failure.reason == "refused")
        ]
        return [each for each in part if not any(each is one for one in unread)]

    def miss(self, why: Failure) -> None:
        """Of an open loop, what fell due while the server was away has failed; a closed loop just waited."""
        if isinstance(self._schedule, Open):
            passed_ns = time.monotonic_ns() - self._started_ns
            self._fail([index for index in self._left if self._schedule.offsets_ns[index] <= passed_ns], why)

    def give_up(self, why: Failure) -> None:
        """Everything that is left has failed."""
        self._fail(self._left, why)

    def _fail(self, indexes: Sequence[int], why: Failure) -> None:
        now_ns = time.monotonic_ns()
        failure = why._replace(message=f"not sent: {why.message}")
        for index in indexes:
            intended_ns = now_ns
            if isinstance(self._schedule, Open):
                intended_ns = self._started_ns + self._schedule.offsets_ns[index]
            self._done.append(Exchange(index, self._requests[index], intended_ns, ended_ns=now_ns, failure=failure))
        failed = set(indexes)
        self._left = [index for index in self._left if index not in failed]

    @property
    def exchanges(self) -> list[Exchange]:
        """All that came of the load so far, in the order of its requests."""
        return sorted(self._done, key=lambda each: (each.index, each.attempt))
