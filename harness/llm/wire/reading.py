"""One load over raw sockets: a single thread reads, keeps bytes and times, and sends the next request of a user when an
answer is complete. What is said in the answers is read afterwards.
"""

import gc
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence

from harness.llm.schedule import Closed, Patience, Schedule
from harness.llm.wire import stamps
from harness.llm.wire.connection import Connection
from harness.llm.wire.course import Call, Course
from harness.llm.wire.dispatcher import Dispatcher
from harness.llm.wire.flight import Flight
from harness.llm.wire.framing import Malformed
from harness.llm.wire.patience import late
from harness.llm.wire.poller import READ, WRITE
from harness.llm.wire.pool import Pool
from harness.llm.wire.target import Target

_SIZE = 1 << 14  # of one read; what does not fit is there at the next turn
_LEAD_NS = 2_000_000  # from the opening of connections to the start of the load
_WINDOW_NS = 20_000_000  # requests of an open loop that are this near to each other need a connection each
_MOST_SPARES = 512
_STALE_NS = 1_000_000_000  # a kept connection that ends sooner after a request than this was closed before it came
_MOST_WAIT_S = 0.05  # between two looks at the deadlines and at a cancel

_clock = time.monotonic_ns


class Reading:
    """A load from its first request to its last answer; used once."""

    def __init__(
        self,
        target: Target,
        calls: Sequence[Call],
        schedule: Schedule,
        patience: Patience,
        cancelled: Callable[[], bool],
        pool: Pool,
        *,
        offsets: stamps.Offsets | None,
        reuse: bool,
    ) -> None:
        self._course = Course(calls, [target.head(path, len(body)) for _, path, body in calls], schedule, patience)
        self._count = len(calls)
        self._schedule = schedule
        self._patience = patience
        self._cancelled = cancelled
        self._pool = pool
        self._offsets = offsets
        self._reuse = reuse
        self._todo: deque[tuple[Flight, Connection | None]] = deque()
        self._inbox: deque[tuple[Flight, Connection | None, OSError | None]] = deque()
        self._dispatcher = Dispatcher(self._release)
        waits = patience.connect_s, patience.first_byte_s, patience.silence_s, patience.total_s
        self._tick_s = min(_MOST_WAIT_S, max(0.001, min(waits) / 20))
        self._looked_ns = 0
        self._polled_ns = 0

    @property
    def flights(self) -> list[Flight]:
        """Every attempt so far."""
        return self._course.flights

    def run(self) -> None:
        """Sends everything and reads until the last answer, or until cancelled; `flights` holds what came."""
        collects = gc.isenabled()
        gc.disable()  # a collection would hold up the reading for milliseconds
        try:
            self._open_ahead()
            self._begin()
            while self._course.left:
                self._turn()
        finally:
            if collects:
                gc.enable()
            self._dispatcher.stop()
            self._pool.close()

    def _open_ahead(self) -> None:
        """Opens the connections that the load needs at once, so that connecting is no part of it.

        One that cannot be made is left: the request that needs it will fail, and say why.
        """
        if not self._reuse:
            return
        try:
            for _ in range(min(_MOST_SPARES, self._together()) - len(self._pool)):
                self._pool.open(None)
        except OSError:
            return
        until_ns = _clock() + int(self._patience.connect_s * 1e9)
        while self._pool.connecting and _clock() < until_ns and not self._cancelled():
            self._turn()

    def _together(self) -> int:
        """How many requests may be on their way at once, as far as the schedule tells."""
        if isinstance(self._schedule, Closed):
            return min(self._schedule.users, self._count)
        offsets = self._schedule.offsets_ns
        return max((bisect_right(offsets, start + _WINDOW_NS) - i for i, start in enumerate(offsets)), default=0)

    def _begin(self) -> None:
        """Hands everything that has a time of its own to the dispatcher."""
        origin_ns = _clock() + _LEAD_NS
        if isinstance(self._schedule, Closed):
            for user, start_ns in enumerate(self._schedule.starts_ns):
                self._dispatcher.push(origin_ns + start_ns, (user, origin_ns + start_ns))
        else:
            for offset_ns in self._schedule.offsets_ns:
                self._dispatcher.push(origin_ns + offset_ns, self._course.next(origin_ns + offset_ns))
        self._dispatcher.start()

    def _release(self, due: "Flight | tuple[int, int]") -> None:
        """In the dispatcher's thread: sends a request whose time has come, on a connection that waits for one.

        A user's first request is chosen only now, so that requests are handed out in their order.
        """
        if isinstance(due, tuple):
            user, due_ns = due
            first = self._course.next(due_ns, user)
            if first is None:
                return  # there are more users than requests
            due = first
        connection = self._pool.spare() if self._reuse else None
        error: OSError | None = None
        if connection is not None:
            try:
                if connection.send(due):
                    return
            except OSError as broken:
                error = broken
        self._inbox.append((due, connection, error))
        self._pool.wake()

    def _turn(self) -> None:
        """Waits for something to read and reads all that is there."""
        ready = self._pool.wait(self._tick_s)
        after_ns, self._polled_ns = self._polled_ns, _clock()
        of = self._pool.of
        for fd, mask in ready:
            connection = of(fd)
            if connection is None:
                self._hear()
            elif connection.ready and not mask & WRITE:
                self._read(connection, after_ns)
            else:
                self._write(connection, mask, after_ns)
            if self._todo:
                self._drain()
        if self._polled_ns - self._looked_ns > self._tick_s * 1e9:
            self._look(self._polled_ns)

    def _read(self, connection: Connection, after_ns: int) -> None:
        """Takes what is there, with its times."""
        try:
            data, ancillary, _, _ = connection.recvmsg(_SIZE, stamps.SPACE)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(connection, error)
            return
        read_ns = _clock()
        flight = connection.flight
        if flight is None or not data:
            self._closed(connection)
            return
        connection.reads += 1
        try:
            done = flight.take((after_ns, read_ns, ancillary, data))
        except Malformed as error:
            flight.fail("malformed", str(error), read_ns)
            done = True
        if ancillary and data.count(b"\n\n") > 1 and connection.one_segment():
            flight.single.add(len(flight.reads) - 1)
        if done:
            self._settle(connection)

    def _write(self, connection: Connection, mask: int, after_ns: int) -> None:
        """Goes on with a connection that was being made, or with a request that had to wait for room."""
        try:
            if not connection.ready:
                connection.stands()
                self._stands(connection)
            elif connection.sending and connection.flush():
                self._pool.watch(connection, writing=False)
        except OSError as error:
            self._broken(connection, error)
            return
        if mask & READ:
            self._read(connection, after_ns)

    def _stands(self, connection: Connection) -> None:
        """Sends what a new connection was made for."""
        flight = connection.flight
        if flight is None:
            self._pool.watch(connection, writing=False)
            self._pool.keep(connection)
            return
        flight.exchange.connected_ns = connection.connected_ns
        if connection.send(flight):
            self._pool.watch(connection, writing=False)

    def _hear(self) -> None:
        """Takes over what the dispatcher could not finish."""
        self._pool.hear()
        while self._inbox:
            flight, connection, error = self._inbox.popleft()
            if connection is None:
                self._todo.append((flight, None))
            elif error is not None:
                self._broken(connection, error)
            else:
                self._pool.watch(connection, writing=True)

    def _drain(self) -> None:
        """Sends what is to be sent now; a loop, because a request that fails at once brings the next."""
        while self._todo:
            flight, connection = self._todo.popleft()
            if connection is not None and not connection.quiet:
                self._pool.drop(connection)
                connection = None
            if connection is None and self._reuse and not flight.exchange.resent:
                connection = self._pool.spare()
            if connection is not None:
                self._send(connection, flight)
                continue
            try:
                self._pool.open(flight)
            except OSError as error:
                flight.fail("refused", f"{_said(error)} (connecting)", _clock())
                self._landed(flight, None)

    def _send(self, connection: Connection, flight: Flight) -> None:
        try:
            if not connection.send(flight):
                self._pool.watch(connection, writing=True)
        except OSError as error:
            self._broken(connection, error)

    def _broken(self, connection: Connection, error: OSError) -> None:
        """A connection that an error ended, before or after it stood."""
        flight = connection.flight
        if flight is None:
            self._pool.drop(connection)
            return
        if self._resends(connection, flight):
            return
        where = "in the answer" if flight.begun else "before the answer" if connection.ready else "connecting"
        flight.fail("reset" if connection.ready else "refused", f"{_said(error)} ({where})", _clock())
        self._settle(connection)

    def _closed(self, connection: Connection) -> None:
        """The server closed in good order; or said something on an idle connection, which is then of no use."""
        flight = connection.flight
        if flight is None:
            self._pool.drop(connection)
            return
        if self._resends(connection, flight):
            return
        flight.closed = True
        if not flight.whole:
            where = "the answer was whole" if flight.begun else "its answer began"
            flight.fail("reset", f"the server closed the connection before {where}", _clock())
        self._settle(connection)

    def _resends(self, connection: Connection, flight: Flight) -> bool:
        """Sends a request again where the kept connection had been closed before it came there (RFC 9112, 9.3.1).

        That is no other attempt: the server never saw the first sending.
        """
        stale = connection.kept and not flight.begun and _clock() - flight.exchange.sent_ns < _STALE_NS
        if not stale or flight.exchange.resent:
            return False
        flight.exchange.resent = True
        connection.flight = None
        self._pool.drop(connection)
        self._todo.append((flight, None))
        return True

    def _settle(self, connection: Connection) -> None:
        """Ends a flight and keeps the connection if it can carry another."""
        flight = connection.flight
        assert flight is not None
        connection.flight = None
        good = flight.failure is None and not flight.closed and flight.head is not None and flight.head.keeps
        if good and self._reuse and not connection.sending:
            connection.kept = True
            self._landed(flight, connection)
        else:
            self._pool.drop(connection)
            self._landed(flight, None)

    def _landed(self, flight: Flight, connection: Connection | None) -> None:
        """What follows from an answer or a failure: another attempt, the user's next request, or nothing."""
        following, due_ns = self._course.after(flight)
        if following is not None and not due_ns:
            self._todo.append((following, connection))
            return
        if connection is not None:
            self._pool.keep(connection)
        if following is not None:
            self._dispatcher.push(due_ns, following)

    def _look(self, now_ns: int) -> None:
        """Holds every request on its way against the patience, the clocks against each other, and asks for a cancel."""
        self._looked_ns = now_ns
        if self._offsets is not None:
            self._offsets.check()
        if self._course.left and self._cancelled():
            self._course.left = 0
            for connection in self._pool.busy():
                if connection.flight is not None:
                    connection.flight.fail("cancelled", "the run was cancelled", _clock())
            return
        for connection in self._pool.busy():
            flight = connection.flight
            why = "" if flight is None else self._late(connection, flight, now_ns)
            if flight is not None and why:
                flight.fail("timeout", why, _clock())
                self._settle(connection)
        self._drain()

    def _late(self, connection: Connection, flight: Flight, now_ns: int) -> str:
        if connection.ready:
            return late(flight, self._patience, now_ns)
        ended = now_ns - connection.opened_ns > self._patience.connect_s * 1e9
        return f"no connection within {self._patience.connect_s:g} s" if ended else ""


def _said(error: OSError) -> str:
    return f"{type(error).__name__}: {error.strerror or error}"
