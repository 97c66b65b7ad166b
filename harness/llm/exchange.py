"""What came of one request: three clocks, what arrived when, what the server says of itself, or why it failed.

All times are nanoseconds on the clock of `time.monotonic_ns`, which is that of `time.perf_counter_ns` on Linux.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from harness.llm.request import Request

Kind = Literal["text", "reasoning", "tool"]
Reason = Literal[
    "refused",  # nobody listens
    "reset",  # the connection broke before the answer was whole
    "cut_off",  # the stream ended in good order, but before its end was said
    "timeout",  # nothing, or not all, arrived in time
    "malformed",  # what arrived is no HTTP, no event stream or no JSON
    "content_type",  # an answer of another kind than was asked for
    "loading",  # 503: the model is not ready
    "busy",  # 429: asked to come back later
    "server_error",  # another 5xx
    "client_error",  # another 4xx
    "context_overflow",  # the prompt does not fit into the context
    "out_of_memory",
    "lost",  # the server, which this run started, ended
    "empty",  # a whole answer without a token in it
    "cancelled",
]


class Failure(NamedTuple):
    """Why there is no whole answer."""

    reason: Reason
    message: str
    retry_after_s: float | None = None  # where the server asks for it


class Piece(NamedTuple):
    """One chunk of the answer that carries text; chunks without any (role, usage, keep-alive) are no pieces.

    `at_ns` is when the newest byte of the read in which it came reached this host: by the kernel's stamp where there is
    one, else by the reader's clock. Pieces that came in one read share it, and are marked `coalesced` from the second
    on, as is one whose read may hold bytes older than its stamp: all that is known of them is that they arrived after
    `since_ns`, when the read before returned.
    """

    at_ns: int
    since_ns: int
    lag_ns: int  # from the arrival to the read: what a client with its own clock would have added
    coalesced: bool
    kind: Kind
    text: str
    tokens: int | None = None  # where the engine says how many it holds


class Usage(NamedTuple):
    """Tokens as the server, or the model's own tokenizer, counts them."""

    input: int
    output: int
    source: Literal["server", "tokenizer"]
    reasoning: int | None = None  # of the output
    cached: int | None = None  # of the input: taken from the prefix cache


class ServerTimings(NamedTuple):
    """What the server itself says it needed; None where it does not say."""

    prompt_ms: float | None
    predicted_ms: float | None
    queue_ms: float | None = None


@dataclass(slots=True)
class Exchange:
    """One attempt at one request."""

    index: int  # of the request in its workload
    request: Request
    intended_ns: int  # when the load wanted it to be sent
    sent_ns: int = 0  # when its first byte was handed to the kernel, or the engine called; 0: never
    connected_ns: int = 0  # when the connection stood, where it was made for this request
    headers_ns: int = 0  # when the answer's first byte arrived; 0: never
    ended_ns: int = 0  # when its last byte arrived, or the failure was known
    attempt: int = 1
    status: int | None = None  # of HTTP
    pieces: list[Piece] = field(default_factory=list)
    usage: Usage | None = None
    server: ServerTimings | None = None
    finish_reason: str | None = None
    failure: Failure | None = None
    stamped: bool = False  # whether the arrivals are the kernel's stamps
    resent: bool = False  # on a new connection, since the server had closed the kept one; `sent_ns` is of this one

    @property
    def text(self) -> str:
        """The answer without its reasoning."""
        return "".join(piece.text for piece in self.pieces if piece.kind == "text")

    @property
    def ok(self) -> bool:
        """Whether the answer is whole."""
        return self.failure is None
