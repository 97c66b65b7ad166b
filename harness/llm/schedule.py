"""When requests are sent: by users who each wait for their answer, or at times fixed beforehand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Closed:
    """A closed loop: each of the users sends the next request when the answer to the last one is there.

    `starts_ns` says when each user begins, counted from the start of the load; `think_ns` is waited between an answer
    and the next request.
    """

    starts_ns: tuple[int, ...]
    think_ns: int = 0

    @property
    def users(self) -> int:
        """Requests under way at once."""
        return len(self.starts_ns)


@dataclass(frozen=True)
class Open:
    """An open loop: each request is sent at its own time, whatever became of the others.

    `offsets_ns`, one a request and never falling, count from the start of the load.
    """

    offsets_ns: tuple[int, ...]


Schedule = Closed | Open


@dataclass(frozen=True)
class Patience:
    """How long one request may take, and what is tried again."""

    connect_s: float
    first_byte_s: float
    silence_s: float  # between two reads of an answer that has begun
    total_s: float
    attempts: int = 1  # in all; only refusals that say so (429, 503) and connections that were refused are tried again
    backoff_s: float = 0.5  # before the second attempt, doubled each time; a server's own Retry-After goes first
