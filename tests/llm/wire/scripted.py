"""A server that does to each request exactly what a script says, down to the bytes and the way it hangs up."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

Script = Callable[[socket.socket], bool]  # True: go on with the connection


def head(kind: str = "text/event-stream", status: str = "200 OK", *more: str) -> bytes:
    """The head of a chunked answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Transfer-Encoding: chunked", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    """An HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def said(text: str, finish: str | None = None) -> bytes:
    """An event with this text, as a chunk."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return chunk(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")


LAST = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
WHOLE = head() + said("a") + said("b", "stop") + LAST


def sends(*parts: bytes, then: Script | None = None) -> Script:
    """Writes the parts one after the other, each when the one before has been taken, and does what comes then."""

    def script(connection: socket.socket) -> bool:
        for part in parts:
            connection.sendall(part)
        return True if then is None else then(connection)

    return script


def hangs_up(connection: socket.socket) -> bool:
    """Closes in good order."""
    return False


def resets(connection: socket.socket) -> bool:
    """Closes so that the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def waits_for_the_end(connection: socket.socket) -> bool:
    """Says nothing more until the client hangs up."""
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass
    return False


def refuses(status: str, body: Any, *headers: str) -> Script:
    """A whole answer with this status."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(data)}", *headers]
    return sends(("\r\n".join(lines) + "\r\n\r\n").encode() + data)


class Scripted:
    """Serves request number n by script number n, and all that come later by the last one."""

    def __init__(self, *scripts: Script, port: int = 0) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", port))
        self._lock = threading.Lock()
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            goes_on = True
            while goes_on and (request := self._request(connection)):
                with self._lock:
                    script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
                    self.requests.append(request)
                goes_on = script(connection)

    def _request(self, connection: socket.socket) -> bytes:
        """One whole request; empty when the client has hung up."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        start, _, body = data.partition(b"\r\n\r\n")
        length = int(
            next(line.split(b":")[1] for line in start.split(b"\r\n") if line.lower().startswith(b"content-l"))
        )
        while len(body) < length:
            body += connection.recv(65536)
        return start + b"\r\n\r\n" + body

    def close(self) -> None:
        """Stops listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextlib.contextmanager
def scripted(*scripts: Script) -> Iterator[Scripted]:
    """A server for the block."""
    server = Scripted(*scripts)
    try:
        yield server
    finally:
        server.close()
