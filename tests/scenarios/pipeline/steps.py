"""Functions that the steps of these tests call."""

from collections.abc import Mapping

from harness.scenarios.pipeline.step import Step

RAN: list[str] = []


def write(step: Step, *, text: str = "made", metric: float | None = None) -> Mapping[str, float] | None:
    RAN.append(step.name)
    (step.folder / "made.txt").write_text(f"{text} {step.seed}")
    if metric is not None:
        step.record("work.result", metric)
        return {"work.result": metric + 0.5}
    return None


def read(step: Step, *, of: str) -> None:
    RAN.append(step.name)
    (step.folder / "read.txt").write_text((step.of(of) / "made.txt").read_text())


def spoil(step: Step, *, of: str) -> None:
    RAN.append(step.name)
    (step.of(of) / "made.txt").write_text("spoilt")


def plain(*, times: int) -> dict[str, float]:
    RAN.append("plain")
    return {"work.result": float(times)}


def fail(step: Step) -> None:
    RAN.append(step.name)
    (step.folder / "half.txt").write_text("half")
    raise ValueError("this one never works")


def text(step: Step) -> str:
    return "no metrics"


def draw(step: Step) -> dict[str, float]:
    import random

    return {"work.result": random.random()}


def count(step: Step, *, to: int) -> None:
    for number in range(to):
        step.progress(number + 1, to)
