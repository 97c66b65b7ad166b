"""The connections of a load: watched by one poller; those without a request wait for the next one."""

import socket
from collections import deque
from collections.abc import Callable, Iterable

from harness.llm.wire.connection import Address, Connection
from harness.llm.wire.flight import Flight
from harness.llm.wire.poller import READ, WRITE, poller


class Pool:
    """Belongs to the reading thread; other threads may only take a spare connection and wake the poller."""

    def __init__(self, address: Callable[[], Address], idle: deque[Connection], *, stamped: bool) -> None:
        """Takes over the idle connections of an earlier load; `idle` holds those left over at the end."""
        self._address = address
        self._stamped = stamped
        self._idle = idle
        self._connections: dict[int, Connection] = {}
        self._poller = poller()
        self._waking, self._woken = socket.socketpair()
        for end in (self._waking, self._woken):
            end.setblocking(False)
        self._poller.register(self._woken.fileno(), READ)
        for connection in idle:
            self._connections[connection.fd] = connection
            self._poller.register(connection.fd, READ)
        self.of = self._connections.get  # the connection of a descriptor; None for the one that wakes

    def __len__(self) -> int:
        return len(self._connections)

    def wait(self, seconds: float) -> Iterable[tuple[int, int]]:
        """All descriptors that are ready, waiting for the first up to so long."""
        return self._poller.poll(seconds, len(self._connections) + 8)

    def wake(self) -> None:
        """Ends the waiting, from another thread."""
        try:
            self._waking.send(b"w")
        except BlockingIOError:
            return  # it is going to wake up for those before

    def hear(self) -> None:
        """Takes in the calls to wake up."""
        while True:
            try:
                self._woken.recv(4096)
            except BlockingIOError:
                return

    def open(self, flight: Flight | None) -> None:
        """Begins a connection, for a flight or to spare.

        Raises:
            OSError: it was refused at once, or the host's name is not known.
        """
        connection = Connection(self._address(), stamped=self._stamped)
        connection.flight = flight
        self._connections[connection.fd] = connection
        self._poller.register(connection.fd, READ | WRITE)

    def watch(self, connection: Connection, *, writing: bool) -> None:
        """Whether to tell also when there is room to write."""
        if not self._holds(connection):
            return
        self._poller.modify(connection.fd, READ | WRITE if writing else READ)

    def _holds(self, connection: Connection) -> bool:
        """Whether the descriptor still is this connection's, and not that of a newer one."""
        return self._connections.get(connection.fd) is connection

    def spare(self) -> Connection | None:
        """A connection that waits for a request."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def keep(self, connection: Connection) -> None:
        """Lets a connection wait for its next request."""
        connection.kept = True
        self._idle.append(connection)

    def drop(self, connection: Connection) -> None:
        """Closes a connection; one that is closed already, which two threads may find out, is left alone."""
        if not self._holds(connection):
            return
        if connection in self._idle:
            self._idle.remove(connection)
        del self._connections[connection.fd]
        self._poller.unregister(connection.fd)
        connection.close()

    @property
    def connecting(self) -> bool:
        """Whether one does not stand yet."""
        return any(not connection.ready for connection in self._connections.values())

    def busy(self) -> list[Connection]:
        """Those with a request."""
        return [connection for connection in self._connections.values() if connection.flight is not None]

    def close(self) -> None:
        """Closes everything but the idle connections, which a later load may use."""
        for connection in self._connections.values():
            if connection not in self._idle:
                connection.close()
        self._poller.close()
        self._waking.close()
        self._woken.close()
