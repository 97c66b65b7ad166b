"""The truth server in Python, for machines without a C compiler: the same answers and log, itself less punctual.

python -m harness.llm.truth.portable LOG CAPACITY [name=value ...]
"""

import heapq
import itertools
import json
import mmap
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.llm.truth.log import END, HEADER, INTERPRETED, MAGIC, NO_KEY, PIECE, RECORD, REQUEST, STAMPED
from harness.llm.wire import stamps
from harness.llm.wire.poller import READ, poller

DEFAULTS: dict[str, Any] = {
    "ttft_us": 50000,
    "gap_us": 10000,
    "tokens": 50,
    "per_write": 1,
    "per_chunk": 1,
    "role": 2,
    "empty_every": 0,
    "comment_every": 0,
    "tail_joined": 0,
    "stalls": "",
}
_SPIN_NS = 300_000
_TIME = struct.Struct("<q")
_PARENT_S = 0.5
_EARLY, _WITH_FIRST = 1, 2
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

_clock = time.monotonic_ns


class Log:
    """The memory-mapped log."""

    def __init__(self, path: Path, capacity: int, port: int, flags: int) -> None:
        size = HEADER.size + capacity * RECORD.size
        with path.open("w+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._capacity, self._count, self._dropped, self._port, self._flags = capacity, 0, 0, port, flags
        self._header()

    def _header(self) -> None:
        HEADER.pack_into(self._map, 0, MAGIC, self._count, self._capacity, self._dropped, self._flags, self._port, 0)

    def add(self, *record: int) -> int:
        """One record, in the order of `RECORD` but for its last field; gives its place, 0 where there was no room."""
        at = HEADER.size + self._count * RECORD.size
        if self._count == self._capacity:
            self._dropped += 1
            at = 0
        else:
            RECORD.pack_into(self._map, at, *record, 0)
            self._count += 1
        self._header()
        return at

    def sent(self, at: int, after_ns: int) -> None:
        """Adds the last field to the record in this place."""
        if at:
            _TIME.pack_into(self._map, at + RECORD.size - _TIME.size, after_ns)


@dataclass(eq=False)
class Client:
    """A connection with at most one answer on its way."""

    socket: socket.socket
    received: bytes = b""
    stream: int = 0
    key: int = NO_KEY
    arrived_ns: int = 0
    due_ns: int = 0
    next: int = 0
    chat: bool = True
    streams: bool = True
    usage: bool = False
    prompt: int = 0
    begun: bool = False
    plan: Mapping[str, Any] = field(default_factory=dict)
    stalls: list[tuple[int, int]] = field(default_factory=list)

    def chunk(self, event: bytes) -> bytes:
        """An event as an HTTP chunk."""
        return b"%x\r\n%s\r\n" % (len(event), event)

    def event(self, choice: Mapping[str, Any]) -> bytes:
        """A chunk of the answer."""
        body = {"id": f"truth-{self.stream}", "model": "truth", "choices": [{"index": 0, **choice}]}
        return self.chunk(b"data: " + json.dumps(body).encode() + b"\n\n")

    def delta(self, text: str | None, finish: str | None = None, **more: Any) -> bytes:
        """A chunk with this text, None for one without any."""
        content: dict[str, Any] = {} if text is None else {"content": text}
        choice = {"delta": {**more, **content}} if self.chat else {"text": text or ""}
        return self.event({**choice, "finish_reason": finish})

    def role(self) -> bytes:
        """The chunk that names who speaks."""
        return (
            self.event({"delta": {"role": "assistant", "content": None}, "finish_reason": None}) if self.chat else b""
        )

    def tail(self) -> bytes:
        """The end of the stream."""
        out = self.delta(None, "length")
        if self.usage:
            out += self.chunk(b"data: " + json.dumps({"choices": [], **self.counts()}).encode() + b"\n\n")
        return out + self.chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def counts(self) -> dict[str, Any]:
        """Usage and timings."""
        ttft_ms = self.plan["ttft_us"] / 1e3
        usage = {"prompt_tokens": self.prompt, "completion_tokens": self.plan["tokens"]}
        predicted_ms = (self.due_ns - self.arrived_ns) / 1e6 - ttft_ms
        return {"usage": usage, "timings": {"prompt_ms": ttft_ms, "predicted_ms": predicted_ms}}

    def stall(self) -> None:
        """Adds the stalls that come before the next token."""
        while self.stalls and self.stalls[0][0] <= self.next:
            self.due_ns += self.stalls.pop(0)[1] * 1000


class Server:
    """Everything in one loop, as the compiled server has it."""

    def __init__(self, path: Path, capacity: int, plan: Mapping[str, Any]) -> None:
        self._plan = {**DEFAULTS, **plan}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._stamped = stamps.offered()
        self._offsets = stamps.Offsets()
        self._log = Log(path, capacity, self.port, INTERPRETED | STAMPED * self._stamped)
        self._poller = poller()
        self._poller.register(self._listener.fileno(), READ)
        self._clients: dict[int, Client] = {}
        self._due: list[tuple[int, int, Client]] = []
        self._order = itertools.count()
        self._streams = itertools.count()

    def run(self) -> None:
        """Serves until the parent process is gone."""
        parent = os.getppid()
        while os.getppid() == parent:
            self._offsets.check()
            while self._due and self._due[0][0] - _clock() <= _SPIN_NS:
                due_ns, _, client = heapq.heappop(self._due)
                while _clock() < due_ns:
                    pass
                self._serve(client)
            left_s = (self._due[0][0] - _clock() - _SPIN_NS) / 1e9 if self._due else _PARENT_S
            whole_ms = max(0, int(left_s * 1e3)) / 1e3  # a poller sleeps in whole milliseconds, and never too short
            for fd, _ in self._poller.poll(min(whole_ms, _PARENT_S), 1024):
                if fd == self._listener.fileno():
                    self._welcome()
                else:
                    self._receive(self._clients[fd])

    def _welcome(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        accepted.setblocking(False)
        if self._stamped:
            stamps.ask(accepted)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[accepted.fileno()] = Client(accepted)
        self._poller.register(accepted.fileno(), READ)

    def _receive(self, client: Client) -> None:
        try:
            data, ancillary, _, _ = client.socket.recvmsg(1 << 18, stamps.SPACE)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        read_ns = _clock()
        stamp = stamps.arrival(ancillary, read_ns, self._offsets)
        client.arrived_ns = read_ns if stamp is None else stamp
        client.received += data
        if not data:
            self._drop(client)
            return
        while b"\r\n\r\n" in client.received:
            head, _, rest = client.received.partition(b"\r\n\r\n")
            said = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            length = int(said.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            client.received = rest[length:]
            self._route(client, head.split(b"\r\n", 1)[0].decode(), rest[:length])

    def _drop(self, client: Client) -> None:
        self._poller.unregister(client.socket.fileno())
        del self._clients[client.socket.fileno()]
        client.socket.close()

    def _route(self, client: Client, line: str, body: bytes) -> None:
        if line.startswith("POST") and "/completions" in line:
            self._begin(client, json.loads(body), chat="/chat/" in line)
        elif line.startswith("POST") and "/tokenize" in line:
            self._answer(client, 200, {"tokens": [1] * len(str(json.loads(body).get("content", "")).split())})
        elif "/health" in line:
            self._answer(client, 200, {"status": "ok"})
        elif "/models" in line:
            self._answer(client, 200, {"object": "list", "data": [{"id": "truth", "object": "model"}]})
        else:
            self._answer(client, 404, {"error": {"message": "no such path", "type": "not_found_error", "code": 404}})

    def _begin(self, client: Client, body: Mapping[str, Any], *, chat: bool) -> None:
        plan = {name: body.get(f"truth_{name}", default) for name, default in self._plan.items()}
        plan["tokens"] = body.get("truth_tokens", body.get("max_tokens", plan["tokens"]))
        client.plan, client.chat, client.streams = plan, chat, bool(body.get("stream"))
        client.usage = "stream_options" in body
        client.prompt = sum(len(str(turn["content"]).split()) for turn in body.get("messages", ()))
        client.prompt += len(str(body.get("prompt", "")).split())
        client.key = body.get("truth_key", NO_KEY)
        client.stream, client.next, client.begun = next(self._streams), 0, False
        client.stalls = [(int(a), int(b)) for a, b in (s.split(":") for s in plan["stalls"].split(",") if s)]
        self._log.add(REQUEST, client.stream, plan["tokens"], client.key, client.arrived_ns, _clock())
        client.due_ns = client.arrived_ns + plan["ttft_us"] * 1000
        if not client.streams:
            client.due_ns += (plan["tokens"] - 1) * plan["gap_us"] * 1000
        elif plan["role"] == _EARLY:
            client.begun = True
            self._put(client, _HEAD + client.role())
        client.stall()
        heapq.heappush(self._due, (client.due_ns, next(self._order), client))

    def _answer(self, client: Client, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        line = b"HTTP/1.1 %d Said\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._put(client, line % (status, len(data)) + data)

    def _put(self, client: Client, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[client.socket.send(view) :]
            except BlockingIOError:
                select.select([], [client.socket], [])
            except OSError:
                client.next = client.plan["tokens"]  # it has gone away; what is left of its answer goes nowhere
                return

    def _serve(self, client: Client) -> None:
        plan, tokens = client.plan, client.plan["tokens"]
        if not client.streams:
            self._serve_whole(client)
            return
        step = plan["per_write"] * plan["per_chunk"]
        if plan["comment_every"] and client.next and client.next % plan["comment_every"] == 0:
            self._put(client, client.chunk(b": keep-alive\n\n"))
        out = b"" if client.begun else _HEAD
        client.begun = True
        if client.next == 0 and plan["role"] == _WITH_FIRST:
            out += client.role()
        if plan["empty_every"] and client.next % plan["empty_every"] == 0:
            out += client.delta("")
        first, until = client.next, min(client.next + step, tokens)
        for token in range(first, until, plan["per_chunk"]):
            last = min(token + plan["per_chunk"], until)
            out += client.delta("".join(f" t{n}" for n in range(token, last)))
        joined = until >= tokens and plan["tail_joined"]
        client.next = until
        self._write(PIECE, client, first, out + (client.tail() if joined else b""))
        if client.next < tokens:
            client.due_ns += plan["gap_us"] * 1000 * step
            client.stall()
            heapq.heappush(self._due, (client.due_ns, next(self._order), client))
        elif not joined:
            self._write(END, client, until, client.tail())

    def _write(self, kind: int, client: Client, token: int, data: bytes) -> None:
        """The record is there before the data is, so whoever has read the data finds it in the log."""
        at = self._log.add(kind, client.stream, token, client.key, client.due_ns, _clock())
        self._put(client, data)
        self._log.sent(at, _clock())

    def _serve_whole(self, client: Client) -> None:
        text = "".join(f" t{n}" for n in range(client.plan["tokens"]))
        choice = {"message": {"role": "assistant", "content": text}} if client.chat else {"text": text}
        body = {"model": "truth", "choices": [{"index": 0, **choice, "finish_reason": "length"}], **client.counts()}
        client.next = client.plan["tokens"]
        at = self._log.add(PIECE, client.stream, 0, client.key, client.due_ns, _clock())
        self._answer(client, 200, body)
        self._log.sent(at, _clock())


def main(arguments: list[str]) -> None:
    """Starts the server and says its port on standard output."""
    path, capacity, *wishes = arguments
    plan: dict[str, Any] = {}
    for wish in wishes:
        name, _, value = wish.partition("=")
        if name != "priority":  # an interpreter with a real-time priority would starve what it is to be compared with
            plan[name] = value if name == "stalls" else int(value)
    unknown = sorted(set(plan) - set(DEFAULTS))
    if unknown:
        sys.exit(f"not understood: {', '.join(unknown)}")
    server = Server(Path(path), int(capacity), plan)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    server.run()


if __name__ == "__main__":
    main(sys.argv[1:])
