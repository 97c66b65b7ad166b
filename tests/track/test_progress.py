"""Progress lines name the step, its place, and the time that has passed."""

from io import StringIO

from harness.track.progress import StepLines


def lines_of(events: list[dict[str, object]], clock: list[float]) -> list[str]:
    out = StringIO()
    ticks = iter(clock)
    listener = StepLines(out, lambda: next(ticks))
    for event in events:
        listener(event)
    return out.getvalue().splitlines()


def started(warmup: int) -> dict[str, object]:
    return {"event": "run.started", "run_id": "r1", "scenario": "rollback", "device": "cpu", "warmup": warmup}


def phase(name: str, **more: object) -> dict[str, object]:
    return {"event": "phase.started", "phase": name, **more}


def test_each_step_is_one_line_with_its_number_and_the_elapsed_time() -> None:
    events = [started(3), phase("setup"), phase("warmup", iterations=3), phase("measure", iterations=1)]
    assert lines_of(events, [0.0, 0.0, 0.4, 1.6, 12.0]) == [
        "rollback on cpu: run r1",
        "Step 1/4 – set up (elapsed 0s)",
        "Step 2/4 – warm up, 3 iterations (elapsed 2s)",
        "Step 3/4 – measure, 1 iteration (elapsed 12s)",
    ]


def test_a_step_that_is_not_run_leaves_the_total() -> None:
    events = [started(0), phase("setup"), phase("warmup", iterations=0), phase("measure", iterations=5)]
    assert lines_of(events, [0.0, 0.0, 0.0, 0.0])[1:] == [
        "Step 1/3 – set up (elapsed 0s)",
        "Step 2/3 – measure, 5 iterations (elapsed 0s)",
    ]
