"""Progress lines name the step, its place, when it ends, and the time that has passed."""

from io import StringIO

import pytest

from harness.track.eta import Estimate
from harness.track.lines import StepLines, line, span
from harness.track.progress import Progress


def progress(**changes: object) -> Progress:
    known: dict[str, object] = {
        "number": 2,
        "total": 5,
        "name": "Collect expert trajectories",
        "elapsed_s": 120.0,
        "step_elapsed_s": 3.0,
        "done": 0,
        "units": None,
        "eta": Estimate(660.0, 660.0, 660.0),
        "why_not": None,
        "step_eta_s": None,
    }
    return Progress(**{**known, **changes})  # type: ignore[arg-type]


def test_the_line_is_that_of_the_requirement() -> None:
    assert line(progress()) == "Step 2/5 – Collect expert trajectories (ETA 11m, elapsed 2m)"


def test_the_line_shows_between_which_times_the_end_should_come() -> None:
    assert "(ETA 11m [9m 0s, 14m]," not in line(progress())
    assert "(ETA 11m [9m, 14m], elapsed 2m)" in line(progress(eta=Estimate(660.0, 540.0, 840.0)))


def test_the_line_counts_iterations() -> None:
    assert "– measure, 12 of 100 iterations (" in line(progress(name="measure", done=12, units=100))
    assert "– measure, 1 iteration (" in line(progress(name="measure", units=1))


def test_an_unknown_end_is_said_with_its_reason() -> None:
    assert "(ETA unknown (no history), elapsed 2m)" in line(progress(eta=None, why_not="no history"))
    assert "(ETA unknown (no history); this step 45s," in line(
        progress(eta=None, why_not="no history", step_eta_s=45.0)
    )


def test_what_is_no_step_has_no_number() -> None:
    assert line(progress(number=0, total=0, name="setup")) == "Set up (ETA 11m, elapsed 2m)"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0s"), (59.4, "59s"), (125, "2m 5s"), (540, "9m"), (660, "11m"), (3900, "1h 5m")]
)
def test_times_are_said_in_the_units_that_matter(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_elsewhere_than_on_a_terminal_lines_are_plain_and_few() -> None:
    """Trap: a bar that is written anew leaves one garbled line of carriage returns in a log."""
    out = StringIO()
    lines = StepLines(out)
    lines.show(progress(), edge=True, due=True)
    for _ in range(20):
        lines.show(progress(), edge=False, due=False)
    lines.show(progress(number=3), edge=True, due=True)
    assert out.getvalue().count("\n") == 2
    assert "\r" not in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_the_line_is_written_anew_and_stays_when_the_next_step_begins() -> None:
    out = StringIO()
    lines = StepLines(out, terminal=True)
    lines.show(progress(), edge=True, due=True)
    lines.show(progress(elapsed_s=121.0), edge=False, due=False)
    lines.show(progress(number=3), edge=True, due=True)
    lines({"event": "run.finished"})
    assert out.getvalue().count("\n") == 2
    assert out.getvalue().count("\r") == 3


def test_a_failed_iteration_does_not_write_into_the_open_line() -> None:
    out = StringIO()
    lines = StepLines(out, terminal=True)
    lines.show(progress(), edge=True, due=True)
    lines({"event": "iteration.failed", "iteration": 3, "type": "ValueError", "message": "bad"})
    assert out.getvalue().endswith("elapsed 2m)\n  iteration 3 failed: ValueError: bad\n")


def test_a_long_line_does_not_break_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = StringIO()
    StepLines(out, terminal=True).show(progress(name="x" * 200), edge=True, due=True)
    assert len(out.getvalue()) == len("\r\x1b[K") + 39
