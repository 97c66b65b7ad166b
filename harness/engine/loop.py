"""The measuring loop: warm-up, iterations, errors, cancel; between two clock readings there is only the work."""

import gc
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import BenchmarkFailed, StoreLost
from harness.measure.canary import CANARY, Canary
from harness.measure.samples import Flag, Phase, Word
from harness.runner import Context, Runner

DURATION = "iteration.duration_ms"
_ROOM = 1024  # records kept free ahead of an iteration, so that the file never grows inside a timed section

# Plain integers: an IntEnum member costs three times as much as an index of the header.
_CANCEL, _END, _COMPLETED = int(Word.CANCEL), int(Word.END), int(Word.COMPLETED)


@dataclass
class Tally:
    """What the loop did: iterations tried, and those that failed."""

    done: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)


def run_phase(runner: Runner, context: Context, phase: Phase, count: int, canary: Canary | None = None) -> Tally:
    """Runs `count` iterations and records how long each took; a raising iteration is recorded and the next one runs.

    The canary is timed after each iteration, outside of its time.

    Raises:
        StoreLost: the samples cannot be kept.
    """
    context.phase = phase
    context.samples.enter(phase)
    gc.collect()
    tally = Tally()
    tag = context.samples.id_of(DURATION)
    if phase != Phase.MEASURE:
        tag |= Flag.WARMUP << 16
    done = context.samples.completed  # what is kept from the run that this one goes on from is not repeated
    while done < count:
        done = iterate_until_error(runner, context, tag, done, count if canary is None else done + 1, tally)
        if canary is not None and not context.cancelled:
            context.record(CANARY, canary.duration_ms())
        if context.cancelled:
            break
    tally.done = done
    return tally


def iterate_until_error(runner: Runner, context: Context, tag: int, first: int, count: int, tally: Tally) -> int:
    """The hot loop. One `try` around it costs nothing an iteration; it is left at an error and entered again."""
    samples, clock, iterate = context.samples, time.perf_counter_ns, runner.iterate
    limit, words, doubles = samples.ensure(_ROOM), samples.words, samples.doubles
    index = first
    try:
        for index in range(first, count):
            if words[_CANCEL]:
                return index
            context.iteration = index
            started = clock()
            extra = iterate(context)
            ended = clock()
            at = samples.cursor
            if at >= limit:  # the iteration has recorded much; the file may have been mapped anew
                limit, words, doubles = samples.ensure(_ROOM), samples.words, samples.doubles
            # The same as samples.add, written out: a call would cost as much as all the rest of the loop.
            words[at] = tag | index << 32
            words[at + 1] = ended
            doubles[at + 2] = (ended - started) / 1e6
            samples.cursor = words[_END] = at + 3
            if extra is not None:
                _record_extra(context, extra, at)
            words[_COMPLETED] = index + 1
    except StoreLost:
        raise
    except (Exception, SystemExit) as error:  # a user's script may call exit; that ends an iteration, not the run
        _note_failure(context, tag, index, error, tally)
        return index + 1
    return count


def _record_extra(context: Context, extra: Mapping[str, float], at: int) -> None:
    if context.earlier_ms:
        context.samples.doubles[at + 2] += context.earlier_ms
        context.earlier_ms = 0.0
    if not isinstance(extra, Mapping):
        raise BenchmarkFailed(
            f"iterate returned {type(extra).__name__}, not a mapping of metrics or None",
            "return {'name': number, ...} with names declared under `metrics:`",
        )
    for name, value in extra.items():
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise BenchmarkFailed(f"the metric {name!r} is {value!r}, not a number")
        context.record(name, float(value))


def _note_failure(context: Context, tag: int, index: int, error: BaseException, tally: Tally) -> None:
    samples = context.samples
    samples.add(tag | Flag.FAILED << 16 | index << 32, time.perf_counter_ns(), 0.0)
    samples.words[_COMPLETED] = index + 1
    tally.failed += 1
    details = describe_error(error, context.phase.name.lower(), index)
    tally.errors.append(details)
    if len(tally.errors) <= 20:  # a scenario that always raises must not flood the stream
        context.event("iteration.failed", **{key: details[key] for key in ("type", "message", "traceback")})


def reason_of(error_type: str) -> str:
    """Which reason of a failed run an exception stands for; torch's own class is known by its name."""
    return "out_of_memory" if error_type in ("MemoryError", "OutOfMemoryError") else "error"


def describe_error(error: BaseException, phase: str, iteration: int | None) -> dict[str, Any]:
    """An exception as it enters the result: where, which type, its text, and the end of its traceback."""
    lines = traceback.format_exception(error)
    return {
        "phase": phase,
        "iteration": iteration,
        "type": type(error).__name__,
        "message": str(error) or repr(error),
        "traceback": "".join(lines)[-4000:],
    }
