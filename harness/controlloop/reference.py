"""The undisturbed training that a restored one is compared with."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from harness.controlloop.trainer import Trainer


@dataclass(frozen=True)
class Reference:
    """The loss and the time of every step, and the hash of the state before the first and after each."""

    losses: list[float]
    latencies_ms: list[float]
    digests: list[str]


def undisturbed(trainer: Trainer, steps: int) -> Reference:
    """Trains `steps` steps with the bare trainer: no control loop, no snapshot, nothing that could hide a restore."""
    reference = Reference([], [], [trainer.state.digest()])
    for _ in range(steps):
        step = trainer.step()
        trainer.advance()
        reference.losses.append(step.loss)
        reference.latencies_ms.append(step.latency_ms)
        reference.digests.append(trainer.state.digest())
    return reference


def identical(losses: Sequence[float], expected: Sequence[float]) -> int:
    """How many losses from the first on are the same bits."""
    count = 0
    for loss, other in zip(losses, expected, strict=False):
        if packed([loss]) != packed([other]):
            break
        count += 1
    return count


def packed(losses: Sequence[float]) -> bytes:
    """The bits of losses, for comparing and for hashing."""
    return struct.pack(f"<{len(losses)}d", *losses)
