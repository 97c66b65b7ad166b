"""Encrypted connections and proxies, which go through httpx."""

import contextlib
import dataclasses
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.llm.exchange import Exchange
from harness.llm.schedule import Closed, Open
from harness.llm.truth.compare import compare
from harness.llm.truth.server import TruthServer
from harness.llm.wire.body import encode
from harness.llm.wire.client import HttpClient
from harness.llm.wire.target import Target
from tests.llm.wire.asking import PATIENT, asks, exchanged
from tests.llm.wire.scripted import (
    WHOLE,
    Script,
    hangs_up,
    head,
    refuses,
    resets,
    said,
    scripted,
    sends,
    waits_for_the_end,
)

pytest.importorskip("httpx")

QUICK = {"ttft_us": 3000, "gap_us": 2000}


def one(*scripts: Script, **options: object) -> Exchange:
    with scripted(*scripts) as server:
        (found,) = exchanged(server.url, [asks()], library=True, **options)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("schedule", [Closed((0, 0)), Open(tuple(3_000_000 * n for n in range(6)))])
def test_it_gives_the_same_answers_by_the_readers_clock(schedule: Closed | Open) -> None:
    with TruthServer(QUICK) as server:
        done = exchanged(server.url, [asks(key, tokens=4) for key in range(6)], schedule, library=True)
        errors = compare(done, server.truth())
    assert [one.index for one in done] == list(range(6))
    assert all(one.ok and not one.stamped for one in done)
    assert errors.pieces == 24
    assert all(one.sent_ns >= one.intended_ns for one in done)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (sends(head() + said("a"), then=hangs_up), "reset"),
        (resets, "reset"),
        (hangs_up, "reset"),
        (sends(b"220 mail ready\r\n\r\n", then=waits_for_the_end), "malformed"),
        (refuses("429 Busy", {}), "busy"),
        (refuses("503 Unavailable", {"error": {"message": "Loading model"}}), "loading"),
        (waits_for_the_end, "timeout"),
        (sends(head() + said("a"), then=waits_for_the_end), "timeout"),
    ],
)
def test_failures_have_the_same_reasons(script: Script, reason: str) -> None:
    patience = dataclasses.replace(PATIENT, first_byte_s=0.3, silence_s=0.3)
    found = one(script, patience=patience)
    assert found.failure is not None
    assert found.failure.reason == reason, found.failure.message


def test_nobody_listens() -> None:
    with scripted(hangs_up) as server:
        url = server.url
    (found,) = exchanged(url, [asks()], library=True)
    assert found.failure is not None
    assert found.failure.reason == "refused"


def test_another_attempt_is_made_where_the_server_asks_for_it() -> None:
    patience = dataclasses.replace(PATIENT, attempts=2, backoff_s=0.01)
    with scripted(refuses("503 Unavailable", {}), sends(WHOLE)) as server:
        first, second = exchanged(server.url, [asks()], library=True, patience=patience)
    assert first.failure is not None
    assert second.ok
    assert (first.attempt, second.attempt) == (1, 2)


def test_a_cancel_ends_it() -> None:
    with scripted(sends(WHOLE), waits_for_the_end) as server:
        client = HttpClient(Target.of(server.url), library=True)
        calls = [(request, *encode(request, None)) for request in (asks(key) for key in range(5))]
        done = client.exchange(calls, Closed((0,)), PATIENT, lambda: len(server.requests) == 2)
    assert [one.failure.reason if one.failure else "" for one in done] == ["", "cancelled"]


def pumps(source: socket.socket, sink: socket.socket) -> None:
    """Carries bytes one way until the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


Wrap = Callable[[socket.socket], socket.socket]


@contextlib.contextmanager
def relay(port: int, wrap: Wrap, rewrite: Callable[[bytes], bytes]) -> Iterator[int]:
    """Carries connections to a port of this host; what the client sends first may be changed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(plain: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            wrap(plain) as client,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            server.sendall(rewrite(client.recv(65536)))
            upward = threading.Thread(target=pumps, args=(client, server), daemon=True)
            upward.start()
            pumps(server, client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_proxy_is_gone_through() -> None:
    asked: list[bytes] = []

    def without_host(request: bytes) -> bytes:
        asked.append(request.split(b"\r\n")[0])
        return request.replace(b"POST http://truth.invalid", b"POST ", 1)

    with TruthServer(QUICK) as server, relay(server.port, lambda s: s, without_host) as port:
        client = HttpClient(Target.of("http://truth.invalid/v1", proxy=f"http://127.0.0.1:{port}"))
        request = asks(1, tokens=4)
        (found,) = client.exchange([(request, *encode(request, None))], Closed((0,)), PATIENT)
    assert found.ok, found.failure
    assert asked == [b"POST http://truth.invalid/v1/chat/completions HTTP/1.1"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_an_encrypted_server_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def wrap(plain: socket.socket) -> socket.socket:
        return context.wrap_socket(plain, server_side=True)

    with TruthServer(QUICK) as server, relay(server.port, wrap, lambda request: request) as port:
        (found,) = exchanged(f"https://localhost:{port}/v1", [asks(1, tokens=4)])
    assert found.ok, found.failure
    assert found.text == " t0 t1 t2 t3"
    assert not found.stamped
