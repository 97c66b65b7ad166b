"""A connection: a socket that never blocks, asked for the kernel's stamps, with at most one request on its way."""

import contextlib
import socket
import struct
import time
from typing import Any

from harness.llm.wire import stamps
from harness.llm.wire.flight import Flight

Address = tuple[int, Any]  # the family, and the address in its shape

_DATA_SEGMENTS = 152  # of tcpi_data_segs_in in struct tcp_info (linux/tcp.h, since Linux 4.6)
_INFO = getattr(socket, "TCP_INFO", None)


def resolve(host: str, port: int) -> Address:
    """The first address of the host.

    Raises:
        OSError: the name is not known.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


class Connection:
    """One socket and the request on it; used by one thread at a time."""

    __slots__ = (
        "_rest",
        "_segments",
        "_socket",
        "connected_ns",
        "fd",
        "flight",
        "kept",
        "opened_ns",
        "reads",
        "ready",
        "recvmsg",
    )

    def __init__(self, address: Address, *, stamped: bool) -> None:
        """Begins to connect; it stands when `ready`, or else when `stands` says so.

        Raises:
            OSError: it was refused at once.
        """
        family, where = address
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self.opened_ns = time.monotonic_ns()
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if stamped:
                stamps.ask(self._socket)
            with contextlib.suppress(BlockingIOError):
                self._socket.connect(where)
        except BaseException:
            self._socket.close()
            raise
        self.fd = self._socket.fileno()
        self.recvmsg = self._socket.recvmsg if stamped else self._receive
        self.flight: Flight | None = None
        self.ready = False
        self.kept = False  # it was not made for the request that is on it
        self.connected_ns = 0
        self.reads = 0  # since the segments were counted last
        self._segments = 0
        self._rest = memoryview(b"")

    def _receive(self, size: int, space: int) -> tuple[bytes, None, int, None]:
        """Without stamps: the shape of `recvmsg`, with nothing beside the data."""
        return self._socket.recv(size), None, 0, None

    def stands(self) -> None:
        """Takes the outcome of connecting, once the socket can be written.

        Raises:
            OSError: it was refused or could not be reached.
        """
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "connecting failed")
        self.ready = True
        self.connected_ns = time.monotonic_ns()

    def send(self, flight: Flight) -> bool:
        """Hands a request to the kernel, noting when; False when a part of it has to wait until there is room.

        Raises:
            OSError: the connection is broken.
        """
        flight.exchange.sent_ns = time.monotonic_ns()  # first, because another thread looks how long it has been away
        self.flight = flight
        try:
            sent = self._socket.sendmsg((flight.start, flight.body))
        except BlockingIOError:
            sent = 0
        whole = len(flight.start) + len(flight.body)
        if sent < whole:
            self._rest = memoryview(flight.start + flight.body)[sent:]
        return sent == whole

    def flush(self) -> bool:
        """Sends what is left of a request; True when nothing is.

        Raises:
            OSError: the connection is broken.
        """
        with contextlib.suppress(BlockingIOError):
            self._rest = self._rest[self._socket.send(self._rest) :]
        return not self._rest

    @property
    def sending(self) -> bool:
        """Whether a part of the request still waits for room."""
        return bool(self._rest)

    def one_segment(self) -> bool:
        """Whether the newest read holds one segment only, so that its stamp is that of all its bytes.

        The kernel counts the segments that came; each read took at least one. Two segments in an earlier read that
        was not asked about make this answer False once too often, never True.
        """
        if _INFO is None:
            return False
        info = self._socket.getsockopt(socket.IPPROTO_TCP, _INFO, _DATA_SEGMENTS + 4)
        if len(info) < _DATA_SEGMENTS + 4:
            return False
        segments = int(struct.unpack_from("=I", info, _DATA_SEGMENTS)[0])
        came = (segments - self._segments) & 0xFFFFFFFF
        reads, self.reads, self._segments = self.reads, 0, segments
        return came == reads

    @property
    def quiet(self) -> bool:
        """Whether an idle connection still stands, with nothing said on it."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Closes the socket; a second call does nothing."""
        self._socket.close()
