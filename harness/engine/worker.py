"""The measured process: builds the runner, runs the loop, says what happened, and ends."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from harness.engine import deterministic
from harness.engine.loop import Tally, describe_error, reason_of, run_phase
from harness.errors import Cancelled, ConfigError, DeviceUnavailable, StoreLost
from harness.measure.canary import Canary
from harness.measure.catalogue import load_catalogue
from harness.measure.samples import Phase, SampleFile, Word
from harness.process.channel import Channel
from harness.runner import Context, Runner


def main(channel: Channel) -> int:
    """Serves the supervisor's requests until one of them was to run; 0, since what happened is told on the channel."""
    signal.signal(signal.SIGTERM, _raise_cancelled)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (request := channel.receive()) is not None:
        if request["do"] == "describe_targets":
            from harness.config.signature import describe_targets

            channel.send({"kind": "targets", "schemas": describe_targets(request["targets"])})
        elif request["do"] == "run":
            return _run(channel, request)
    return 0


def _raise_cancelled(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: teardown must not be interrupted again
    raise Cancelled


def _run(channel: Channel, request: Mapping[str, Any]) -> int:
    samples = SampleFile(Path(request["samples"]))
    try:
        outcome = _measure(channel, request, samples)
    except Cancelled:
        outcome = {"status": "cancelled"}
    except (ConfigError, DeviceUnavailable) as error:
        problems = [problem._asdict() for problem in error.problems] if isinstance(error, ConfigError) else None
        outcome = {"status": "refused", "message": error.message, "hint": error.hint, "problems": problems}
    except (Exception, SystemExit) as error:
        outcome = {
            "status": "failed",
            "reason": reason_of(type(error).__name__),
            "error": describe_error(error, samples.phase.name.lower(), None),
            "store_lost": isinstance(error, StoreLost),
        }
    samples.enter(Phase.DONE)
    channel.send({"kind": "outcome", **outcome})
    return 0


def _measure(channel: Channel, request: Mapping[str, Any], samples: SampleFile) -> dict[str, Any]:
    from harness.config.build import build
    from harness.config.redact import redact, secrets_of

    config = request["config"]
    affinity = config["affinity"]
    deterministic.place(affinity["threads"], affinity["cpus"], affinity["nice"])
    context = Context(
        samples=samples,
        catalogue=load_catalogue(config["metrics"]),
        emit=partial(_tell, channel, samples),
        folder=Path(request["folder"]),
        seed=config["seed"],
        device=request["device"],
        threads=affinity["threads"] or 1,
        deterministic=config["deterministic"],
        deadline_ns=time.monotonic_ns() + int(request["remaining_s"] * 1e9),
        config=config,
        redact=partial(redact, secrets=secrets_of(config, os.environ)),
        past=[Path(folder) for folder in request.get("past", ())],
    )
    samples.enter(Phase.SETUP)
    _say_phase(channel, "setup")
    runner = build(config["scenario"])
    deterministic.seed_everything(config["seed"], config["deterministic"])
    try:
        runner.setup(context)
        return _iterate(channel, runner, context, config["measure"], request.get("kept_errors", ()))
    finally:
        context.phase = Phase.TEARDOWN
        samples.enter(Phase.TEARDOWN)
        runner.teardown()


def _tell(channel: Channel, samples: SampleFile, name: str, attributes: Mapping[str, Any]) -> None:
    samples.tell()  # before it is sent: what is counted and not in the journal was lost by a kill
    try:
        channel.send({"kind": "event", "name": name, "attributes": dict(attributes)})
    except (TypeError, ValueError):  # nothing was sent
        samples.tell(-1)
        raise


def _iterate(
    channel: Channel, runner: Runner, context: Context, measure: Mapping[str, Any], kept_errors: Sequence[Any]
) -> dict[str, Any]:
    kept = context.samples.words[int(Word.KEPT)]
    warm = measure["warmup"] if kept < measure["iterations"] else 0
    _say_phase(channel, "warmup", iterations=warm)
    canary = Canary() if measure.get("canary") else None
    warmup = run_phase(runner, context, Phase.WARMUP, warm, canary)
    tally = Tally()
    if not context.cancelled:
        _say_phase(channel, "measure", iterations=measure["iterations"], **({"kept": kept} if kept else {}))
        tally = run_phase(runner, context, Phase.MEASURE, measure["iterations"], canary)
    status = "cancelled" if context.cancelled else "completed"
    outcome = {
        "status": status,
        "outcome_digest": context.outcome,
        "warmup": warmup.done,
        "errors": (warmup.errors + tally.errors)[:100],
        "torch": _torch_info(),
    }
    errors = [*kept_errors, *tally.errors]
    if status == "completed" and tally.done and len(errors) == tally.done:
        last = errors[-1]
        outcome |= {"status": "failed", "reason": reason_of(last["type"]), "error": last}
    return outcome


def _say_phase(channel: Channel, phase: str, **attributes: Any) -> None:
    channel.send({"kind": "phase", "phase": phase, **attributes})


def _torch_info() -> dict[str, Any] | None:
    """What only the process that ran torch knows; None where the work did not use it."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "__version__"):
        return None
    cuda = torch.cuda.is_available()
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "device_name": torch.cuda.get_device_name() if cuda else None,
        "device_peak_mb": torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
    }
