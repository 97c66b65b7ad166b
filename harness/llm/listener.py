"""Which process of this host listens on a port, so that a server that was found running can be watched too."""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp
_FORWARDERS = ("docker-proxy", "rootlessport", "slirp4netns", "pasta", "ssh", "sshd", "socat", "kubectl")


class Listener(NamedTuple):
    """The process, or why it cannot be told."""

    pid: int | None
    reason: str = ""


def is_local(host: str) -> bool:
    """Whether a host name means this machine by its loopback address."""
    return host in ("localhost", "::1", "[::1]") or host.startswith("127.")


def listener_of(host: str, port: int) -> Listener:
    """The process that listens on a port of this host."""
    if not is_local(host):
        return Listener(None, f"not-on-this-host: {host} is another machine, or is not addressed by loopback")
    if sys.platform != "linux":
        return Listener(None, "not-supported: who listens on a port is read from /proc, which only Linux has")
    inodes = set(_listening_inodes(port))
    if not inodes:
        return Listener(None, f"nobody listens on port {port} of this host, as far as this process can see")
    for pid in _pids():
        if inodes & set(_socket_inodes(pid)):
            return _unless_forwarder(pid)
    return Listener(None, f"permission: the process that listens on port {port} belongs to another user")


def _unless_forwarder(pid: int) -> Listener:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return Listener(None, "gone: the listening process has ended")
    if name in _FORWARDERS:
        return Listener(None, f"forwarded: {name} listens there, and the server itself is in a container or elsewhere")
    return Listener(pid)


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, number = fields[1].rpartition(":")
            if fields[3] == _LISTENING and int(number, 16) == port and _takes_loopback(address):
                yield fields[9]


def _takes_loopback(address: str) -> bool:
    """Whether a socket bound to this address, in the kernel's hexadecimal, is reached over loopback."""
    if len(address) == 8:
        packed = struct.pack("=I", int(address, 16))
        return packed[0] in (0, 127)
    words = [int(address[at : at + 8], 16) for at in range(0, 32, 8)]
    text = socket.inet_ntop(socket.AF_INET6, struct.pack("=4I", *words))
    return text in ("::", "::1") or text.startswith("::ffff:127.")


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def _socket_inodes(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - some thousand times a look
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]
