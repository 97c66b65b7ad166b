"""A load through httpx, for what raw sockets cannot reach: encrypted connections and proxies.

Times are those of the reading threads, so whatever delays a thread counts as the server's: `calibrate` says how much.
"""

import gc
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import BenchmarkFailed
from harness.llm.exchange import Reason
from harness.llm.schedule import Closed, Patience, Schedule
from harness.llm.wire.course import Call, Course
from harness.llm.wire.dispatcher import Dispatcher
from harness.llm.wire.flight import Flight
from harness.llm.wire.framing import Head
from harness.llm.wire.patience import late
from harness.llm.wire.target import Target

if TYPE_CHECKING:
    import httpx

_STORED_NS = 200_000  # given out sooner after the last, a part of the body may have been read together with it
_ASKED_S = 0.05  # between two looks at a cancel

_clock = time.monotonic_ns


class LibraryLoad:
    """As `Reading`, with a thread for each request on its way; used once."""

    def __init__(
        self,
        target: Target,
        calls: Sequence[Call],
        schedule: Schedule,
        patience: Patience,
        cancelled: Callable[[], bool],
        *,
        reuse: bool,
    ) -> None:
        self._target = target
        self._course = Course(calls, [path.encode() for _, path, _ in calls], schedule, patience)
        self._schedule = schedule
        self._patience = patience
        self._cancelled = cancelled
        self._reuse = reuse
        self._changed = threading.Condition()
        self._stopped = False

    def run(self) -> list[Flight]:
        """Sends everything and reads until the last answer, or until cancelled.

        Raises:
            BenchmarkFailed: httpx is not installed.
        """
        client = self._client()
        dispatcher = Dispatcher(lambda due: self._in_a_thread(client, due))
        collects = gc.isenabled()
        gc.disable()
        try:
            origin_ns = _clock() + 2_000_000
            offsets = self._schedule.starts_ns if isinstance(self._schedule, Closed) else self._schedule.offsets_ns
            for offset_ns in offsets:
                dispatcher.push(origin_ns + offset_ns, origin_ns + offset_ns)
            dispatcher.start()
            self._wait()
        finally:
            if collects:
                gc.enable()
            self._stopped = True
            dispatcher.stop()
            client.close()
        return list(self._course.flights)

    def _client(self) -> "httpx.Client":
        try:
            import httpx
        except ImportError as error:
            hint = "pip install -e '.[llm]'"
            raise BenchmarkFailed("HTTPS and proxies need httpx, which is not installed", hint) from error
        patience = self._patience
        return httpx.Client(
            headers=self._target.all_headers(),
            proxy=self._target.proxy,
            trust_env=False,  # a proxy of the environment would be measured along without a word
            verify=_trusted(),
            timeout=httpx.Timeout(patience.first_byte_s, connect=patience.connect_s, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None if self._reuse else 0),
        )

    def _wait(self) -> None:
        """Until everything has landed or the run is cancelled."""
        with self._changed:
            while self._course.left:
                self._changed.wait(_ASKED_S)
                if not self._cancelled():
                    continue
                self._stopped = True
                for flight in self._course.flights:
                    if not flight.landed:
                        flight.fail("cancelled", "the run was cancelled", _clock())
                return

    def _in_a_thread(self, client: "httpx.Client", due_ns: int) -> None:
        with self._changed:
            flight = self._course.next(due_ns)
        if flight is not None:
            name = f"request-{flight.exchange.index}"
            threading.Thread(target=self._user, args=(client, flight), daemon=True, name=name).start()

    def _user(self, client: "httpx.Client", flight: Flight) -> None:
        """One request with its attempts; in a closed loop those that follow it."""
        following: Flight | None = flight
        while following is not None and not self._stopped:
            self._attempt(client, following)
            following = self._after(following)

    def _after(self, flight: Flight) -> Flight | None:
        """What follows from an answer or a failure, at its time; nothing once the load has ended."""
        with self._changed:
            flight.landed = True
            following, due_ns = (None, 0) if self._stopped else self._course.after(flight)
            self._changed.notify()
        if following is not None and due_ns:
            time.sleep(max(0.0, (due_ns - _clock()) / 1e9))  # the user thinks, or comes back later as was asked
        return following

    def _attempt(self, client: "httpx.Client", flight: Flight) -> None:
        import httpx

        patience = self._patience
        flight.unframed = True
        request = client.build_request(
            "POST", f"{self._target.url}{flight.start.decode()}", content=flight.body, headers={}
        )
        flight.exchange.sent_ns = before_ns = _clock()
        try:
            answer = client.send(request, stream=True)
            try:
                flight.head = _head(answer)
                timeouts: dict[str, Any] = request.extensions["timeout"]
                timeouts["read"] = min(patience.silence_s, patience.total_s)
                for data in answer.iter_raw():
                    read_ns = _clock()
                    _keep(flight, before_ns, read_ns, data)
                    before_ns = read_ns
                    why = late(flight, patience, read_ns)
                    if why or self._stopped:
                        flight.fail("timeout", why, read_ns)
                        break
            finally:
                answer.close()
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            now_ns = _clock()
            reason, message = _why(error, flight, patience, now_ns)
            flight.fail(reason, message, now_ns)


def _trusted() -> ssl.SSLContext:
    """The certificates of this system, which SSL_CERT_FILE may name, and those that come with httpx."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _keep(flight: Flight, before_ns: int, read_ns: int, data: bytes) -> None:
    """Keeps what the library gave; what it may have had in store already belongs to the read before."""
    if flight.reads and read_ns - before_ns < _STORED_NS:
        after_ns, _, _, before = flight.reads[-1]
        flight.reads[-1] = (after_ns, read_ns, None, before + data)
    else:
        flight.reads.append((before_ns, read_ns, None, data))


def _head(answer: "httpx.Response") -> Head:
    said = answer.headers
    kind = said.get("content-type", "").partition(";")[0].strip().lower()
    return Head(answer.status_code, False, None, False, kind, said.get("retry-after"))


def _why(error: Exception, flight: Flight, patience: Patience, now_ns: int) -> tuple[Reason, str]:
    import httpx

    said = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx.ConnectTimeout):
        return "timeout", f"no connection within {patience.connect_s:g} s"
    if isinstance(error, httpx.TimeoutException):
        silent = f"silent for {patience.silence_s:g} s in the middle of the answer"
        return "timeout", late(flight, patience, now_ns) or (silent if flight.begun else f"{said} (no answer)")
    if isinstance(error, httpx.ConnectError):
        return "refused", said
    if isinstance(error, httpx.RemoteProtocolError) and "peer closed" not in str(error) and "disconnected" not in said:
        return "malformed", said
    return "reset", said
