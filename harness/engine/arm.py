"""The measured side of a comparison: a process that keeps its runner set up and does one turn whenever it is asked.

Between turns it waits in a read and takes no CPU. A turn is some calls that are thrown away and some that are timed, by
the same loop as in any run; their values go back in one message, which is written when nothing is being timed.
"""

import gc
import os
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from harness.errors import BenchmarkFailed, Cancelled, ConfigError, DeviceUnavailable
from harness.process.channel import Channel

ENTRY = "harness.engine.arm:main"


def main(channel: Channel) -> int:
    """Serves one comparison's requests until the supervisor is gone or wants an end."""
    signal.signal(signal.SIGTERM, _raise_cancelled)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = channel.receive()
    if request is None:
        return 0
    try:
        if request["checkout"] is not None:
            enter_checkout(Path(request["checkout"]))
        _serve(channel, request)
    except Cancelled:
        channel.send({"kind": "ended"})
    except (ConfigError, DeviceUnavailable) as error:
        channel.send({"kind": "refused", "message": error.message, "hint": error.hint})
    except (Exception, SystemExit) as error:
        channel.send({"kind": "failed", "message": f"{type(error).__name__}: {error}", "traceback": _end_of(error)})
    return 0


def enter_checkout(folder: Path) -> None:
    """Makes this process see the code of another checkout, and none of what was imported from elsewhere before.

    Where the checkout holds this harness itself, its modules take the place of ours; the code that runs here already
    stays ours.
    """
    os.chdir(folder)
    own = Path(__file__).resolve().parents[2]
    sys.path[:] = [str(folder), *(path for path in sys.path if path and Path(path).resolve() != own)]
    if (folder / "harness" / "__init__.py").exists():
        for name in [name for name in sys.modules if name == "harness" or name.startswith("harness.")]:
            del sys.modules[name]
    else:
        sys.path.append(str(own))


def _raise_cancelled(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled


def _serve(channel: Channel, request: Mapping[str, Any]) -> None:
    # Late, so that in another checkout they are that checkout's.
    from harness.config.build import build
    from harness.engine import deterministic
    from harness.measure.samples import Phase, SampleFile

    config = request["config"]
    affinity = config["affinity"]
    deterministic.place(affinity["threads"], affinity["cpus"], affinity["nice"])
    samples = SampleFile(Path(request["samples"]), create=True)
    context = _context(channel, request, samples)
    runner = build(config["scenario"])
    deterministic.seed_everything(config["seed"], config["deterministic"])
    try:
        runner.setup(context)
        turns = Turns(runner, context, request["metric"])
        turns.calls(config["measure"]["warmup"])
        gc.collect()
        channel.send({"kind": "ready", "pid": os.getpid(), "code": _source_of(config["scenario"])})
        while (asked := channel.receive()) is not None and asked["do"] == "turn":
            turns.calls(asked["discard"])
            channel.send({"kind": "turn", "values": turns.timed(asked["calls"])})
    finally:
        context.phase = Phase.TEARDOWN
        runner.teardown()
    channel.send({"kind": "ended", "calls": turns.done})


def _context(channel: Channel, request: Mapping[str, Any], samples: Any) -> Any:
    from harness.config.redact import redact, secrets_of
    from harness.measure.catalogue import load_catalogue
    from harness.runner import Context

    config = request["config"]
    return Context(
        samples=samples,
        catalogue=load_catalogue(config["metrics"]),
        emit=lambda name, attributes: channel.send({"kind": "event", "name": name, "attributes": dict(attributes)}),
        folder=Path(request["folder"]),
        seed=config["seed"],
        device=request["device"],
        threads=config["affinity"]["threads"] or 1,
        deterministic=config["deterministic"],
        deadline_ns=time.monotonic_ns() + int(request["remaining_s"] * 1e9),
        config=config,
        redact=partial(redact, secrets=secrets_of(config, os.environ)),
    )


class Turns:
    """Calls of one runner through the engine's own loop, and the values of one metric out of them."""

    def __init__(self, runner: Any, context: Any, metric: str) -> None:
        from harness.engine.loop import DURATION

        self.done = 0
        self._runner, self._context, self._metric = runner, context, metric
        self._samples = context.samples
        self._duration = self._samples.id_of(DURATION)
        self._wanted = self._samples.id_of(metric)

    def calls(self, count: int) -> None:
        """Calls whose values are thrown away.

        Raises:
            BenchmarkFailed: one of them failed.
        """
        self._run(count, timed=False)

    def timed(self, count: int) -> list[float]:
        """The metric's value of each of `count` calls; the mean where a call records it more than once.

        Raises:
            BenchmarkFailed: a call failed, or did not record the metric.
        """
        self._run(count, timed=True)
        found: dict[int, list[float]] = {}
        words, doubles = self._samples.words, self._samples.doubles
        for at in range(self._first, self._samples.cursor, 3):
            tag = words[at]
            if tag & 0xFFFF == self._wanted and not tag >> 16 & 0xFFFF:
                found.setdefault(tag >> 32, []).append(doubles[at + 2])
        if len(found) != count:
            raise BenchmarkFailed(
                f"{count - len(found)} of {count} calls did not record {self._metric}",
                "name a metric that every iteration records with --metric",
            )
        return [sum(values) / len(values) for _, values in sorted(found.items())]

    def _run(self, count: int, *, timed: bool) -> None:
        from harness.engine.loop import Tally, iterate_until_error
        from harness.measure.samples import Flag, Phase

        self._context.phase = Phase.MEASURE if timed else Phase.WARMUP
        self._samples.rewind()
        self._first = self._samples.cursor
        tally = Tally()
        tag = self._duration if timed else self._duration | Flag.WARMUP << 16
        ran = iterate_until_error(self._runner, self._context, tag, self.done, self.done + count, tally)
        self.done += count
        if tally.errors:
            error = tally.errors[-1]
            raise BenchmarkFailed(f"iteration {ran - 1} failed: {error['type']}: {error['message']}")


def _source_of(scenario: Mapping[str, Any]) -> str | None:
    """The file that the measured code came from, as evidence of which checkout it was; None where it is no module."""
    named = str(scenario.get("function") or scenario["_target_"]).replace(":", ".")
    while named and named not in sys.modules:
        named = named.rpartition(".")[0]
    return getattr(sys.modules.get(named), "__file__", None)


def _end_of(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))[-4000:]
