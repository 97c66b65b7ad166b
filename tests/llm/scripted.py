"""A server that does to each request exactly what its script says: whole answers, and everything that can go wrong.

One thread a connection; what is sent goes out byte for byte, so that broken HTTP can be sent too.
"""

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass
class Connection:
    """The server's side of one connection, as a script uses it."""

    socket: socket.socket
    over: threading.Event  # the test is over: whoever waits returns

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        """Closes with a reset instead of in good order."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def hang(self) -> None:
        """Says nothing more, until the test is over."""
        self.over.wait(60)

    def drip(self, data: bytes, every_s: float) -> None:
        """One byte at a time: never silent for long, and never done."""
        for at in range(len(data)):
            if self.over.wait(every_s):
                return
            self.send(data[at : at + 1])


Script = Callable[[Connection], None]


def say(data: bytes) -> Script:
    """Sends this and nothing more."""
    return lambda connection: connection.send(data)


def answer(content: Any, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    """A whole answer with a length."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(content: Any) -> bytes:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return chunk(b"data: " + data + b"\n\n")


def delta(text: str | None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": None}]}


ROLE = delta(None, role="assistant")
USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}}
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def stream(*texts: str) -> bytes:
    """A whole stream with a role, a piece for each text, a finish, usage, and its end."""
    middle = b"".join(event(delta(text)) for text in texts)
    return STREAM_HEAD + event(ROLE) + middle + event(FINISH) + event(USAGE) + event(b"[DONE]") + LAST_CHUNK


GOOD = say(stream("one", " two", " three"))


@dataclass
class ScriptedServer:
    """Listens on loopback; the n-th POST is treated by the n-th script, GETs by `pages`."""

    scripts: Sequence[Script] = ()
    pages: Mapping[str, Any] = field(default_factory=dict)  # path: JSON, bytes of an answer, or a function giving those
    posts: Mapping[str, Any] = field(default_factory=dict)  # the same for POSTs beside the scripts
    bodies: list[Any] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.over = threading.Event()
        self._left = list(self.scripts)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            for head, body in self._requests(connection):
                self._treat(connection, head, body)
        except OSError:
            pass
        finally:
            connection.close()

    def _requests(self, connection: socket.socket) -> Iterator[tuple[bytes, bytes]]:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                part = connection.recv(65536)
                if not part:
                    return
                data += part
            head, _, data = data.partition(b"\r\n\r\n")
            found = _LENGTH.search(b"\r\n" + head)
            length = int(found[1]) if found else 0
            while len(data) < length:
                data += connection.recv(65536)
            yield head, data[:length]
            data = data[length:]

    def _treat(self, connection: socket.socket, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        table = self.pages if method == "GET" else self.posts
        with self._lock:
            self.asked.append(path)
            self.heads.append(head)
        if method == "GET" or path in table:
            page = table.get(path, answer({"error": "not found"}, 404))
            page = page() if callable(page) else page
            connection.sendall(page if isinstance(page, bytes) else answer(page))
            return
        with self._lock:
            self.bodies.append(json.loads(body))
            script = self._left.pop(0) if self._left else GOOD
        script(Connection(connection, self.over))
        if script is not GOOD:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        for thread in self._threads:
            thread.join(10)


MODELS = {"object": "list", "data": [{"id": "scripted", "object": "model"}]}


@contextmanager
def serving(*scripts: Script, pages: Mapping[str, Any] | None = None, **more: Any) -> Iterator[ScriptedServer]:
    """A scripted server that lists one model, ended at the end of the block."""
    server = ScriptedServer(scripts, {"/v1/models": MODELS, **(pages or {})}, **more)
    try:
        yield server
    finally:
        server.close()
