import os
import socket
import sys

import pytest

from harness.llm import listener
from harness.llm.listener import is_local, listener_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_who_listens_is_found_whatever_it_is_bound_to(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        assert listener_of("127.0.0.1", server.getsockname()[1]).pid == os.getpid()


def test_nobody_is_told_as_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = listener_of("localhost", port)
    assert found.pid is None
    assert f"nobody listens on port {port}" in found.reason


def test_another_machine_is_not_looked_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = listener_of("192.0.2.7", server.getsockname()[1])
    assert found.pid is None
    assert found.reason.startswith("not-on-this-host")


def test_a_forwarder_is_not_taken_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: the port of a container is held by a small proxy, whose memory is not the model's."""
    with open("/proc/self/comm") as file:
        monkeypatch.setattr(listener, "_FORWARDERS", (file.read().strip(),))
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = listener_of("127.0.0.1", server.getsockname()[1])
    assert found.pid is None
    assert found.reason.startswith("forwarded")


def test_loopback_is_told_from_elsewhere() -> None:
    assert all(map(is_local, ["localhost", "127.0.0.1", "127.1.2.3", "::1"]))
    assert not any(map(is_local, ["example.org", "10.0.0.1", "192.168.1.2"]))
