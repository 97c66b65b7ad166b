"""Goes on from what a training that was killed has left on the disk, and holds it against an undisturbed one."""

import time

from harness.controlloop.disktier.disk import Disk
from harness.controlloop.loop import ControlLoop
from harness.controlloop.reference import Reference, identical
from harness.controlloop.telemetry import Telemetry
from harness.errors import BenchmarkFailed

_PATIENCE_NS = 60 * 10**9  # a limit against hangs; how fast a restore is, the iterations measure


def go_on(loop: ControlLoop, disk: Disk, reference: Reference, telemetry: Telemetry) -> None:
    """Takes the newest checkpoint over, trains from there to the end, and says what came of it.

    Without a checkpoint it says that there was none. Every later iteration begins anew.

    Raises:
        RestoreFailed: there are checkpoints, and none is whole.
        BenchmarkFailed: the state or a loss after it is not that of the undisturbed training.
    """
    if not disk.targets:
        telemetry.event("tolaria.rollback.nothing_to_resume", folder=str(disk.folder))
        return
    snapshot = disk.load(deadline_ns=time.perf_counter_ns() + _PATIENCE_NS)
    trainer = loop.trainer
    trainer.state.adopt(snapshot)
    step, found = trainer.progress.step, trainer.state.digest()
    if found != reference.digests[step]:
        raise BenchmarkFailed(
            f"the checkpoint of step {step} hashes to {found}, the undisturbed training to {reference.digests[step]}",
            "a folder of checkpoints belongs to one model, data, seed and number of steps; give another folder",
        )
    losses = []
    while trainer.progress.step < trainer.total_steps:
        losses.append(trainer.step().loss)
        trainer.advance()
    same = identical(losses, reference.losses[step:])
    telemetry.event(
        "tolaria.rollback.resumed", step=step, hash=found, identical_losses=same, of=len(reference.losses) - step
    )
    if same < len(losses):
        raise BenchmarkFailed(
            f"after the checkpoint of step {step}, {len(losses) - same} of {len(losses)} losses differ from those of "
            "the undisturbed training"
        )
