"""Waits for many sockets at once: epoll where there is one, else poll, both with the masks of poll."""

import os
import select
from typing import Any, Protocol

READ, WRITE = 1, 4  # POLLIN, POLLOUT; those of epoll are the same numbers
FORCED_OFF = "HARNESS_FORCE_POLL"


class Poller(Protocol):
    """The part of `select.epoll` that is used here."""

    def register(self, fd: int, eventmask: int = ..., /) -> None:
        """Watches a descriptor."""

    def modify(self, fd: int, eventmask: int, /) -> None:
        """Changes what is watched for."""

    def unregister(self, fd: int, /) -> None:
        """Stops watching."""

    def poll(self, timeout: float | None = None, maxevents: int = -1, /) -> list[tuple[int, int]]:
        """Blocks up to `timeout` seconds; gives the descriptors that are ready, all of them up to `maxevents`."""

    def close(self) -> None:
        """Frees what the kernel holds for it."""


class _Poll:
    """`select.poll` in the shape of `select.epoll`; it looks at every descriptor in each call."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def poll(self, timeout: float | None = None, maxevents: int = -1, /) -> list[tuple[int, int]]:
        """As of epoll."""
        return self._poll.poll(None if timeout is None else timeout * 1e3)

    def close(self) -> None:
        """Nothing is held."""


def offered() -> bool:
    """Whether this system can wait for many sockets that are registered once; Windows cannot."""
    return hasattr(select, "epoll") or hasattr(select, "poll")


def poller() -> Poller:
    """The best there is; the environment variable HARNESS_FORCE_POLL takes epoll away, which tests use."""
    if hasattr(select, "epoll") and os.environ.get(FORCED_OFF, "") in ("", "0"):
        found: Any = select.epoll()
        return found  # type: ignore[no-any-return]
    return _Poll()
