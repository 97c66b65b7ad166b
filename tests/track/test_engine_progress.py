"""A real run tells its progress in lines and events, learns from the run before, and keeps its steps."""

import json
from pathlib import Path

from harness.journal.lines import read_journal
from harness.results import schema
from tests.command_line import CommandLine

WORDS = ("scenario=function", "measure.warmup=2", "measure.iterations=50")


def test_the_second_run_of_the_same_work_foretells_its_end(tmp_path: Path) -> None:
    user = CommandLine(tmp_path / "outputs")
    first, second = user.run(*WORDS), user.run(*WORDS, "tags=[again]")
    assert "Step 1/4 – set up (ETA unknown (no history), elapsed 0s)" in first.stderr
    assert "Step 1/4 – set up (ETA " in second.stderr
    assert "no history" not in second.stderr
    for folder, runs in zip(user.folders(), (0, 1), strict=True):
        manifest = schema.read(folder / "manifest.json", "manifest")
        assert schema.validate(manifest, "manifest") == []
        assert [step["name"] for step in manifest["steps"]] == ["setup", "warmup", "measure", "report"]
        assert {step["status"] for step in manifest["steps"]} == {"completed"}
        assert manifest["eta"]["runs"] == runs
        assert [one["after"] for one in manifest["eta"]["told"]] == [0, 1, 2, 3]
        assert (manifest["eta"]["error"] is None) == (runs == 0)
    assert "ETA after the second step: within 20 % in" in user.verb("summary").stdout


def test_progress_events_stand_in_the_journal_behind_what_they_tell_of(tmp_path: Path) -> None:
    user = CommandLine(tmp_path / "outputs")
    user.run(*WORDS)
    events, broken = read_journal(user.folders()[-1] / "events.jsonl")
    names = [event["event"] for event in events]
    assert broken == 0
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert names.index("run.expected") < names.index("phase.started") < names.index("run.progress")
    told = [event for event in events if event["event"] == "run.progress"]
    assert [event["step"] for event in told] == ["setup", "warmup", "measure", "report"]
    assert all(event["eta_unknown"] == "no history" for event in told)


def test_steps_of_a_pipeline_are_counted_on_their_own(tmp_path: Path) -> None:
    user = CommandLine(tmp_path / "outputs")
    small = [f"scenario.steps.{name}.run.times=1" for name in ("sort", "pack", "digest", "count", "query")]
    words = ["scenario=six_steps", "scenario.steps.write.run.lines=200", *small]
    user.run(*words)
    done = user.run(*words)
    lines = [line for line in done.stderr.splitlines() if "ETA" in line]
    assert lines[0].startswith("Set up (ETA ")
    assert [line.split(" (")[0] for line in lines[1:-1]] == [
        f"Step {number}/6 – {name}"
        for number, name in enumerate(("write", "sort", "pack", "digest", "count", "query"), 1)
    ]
    shown = json.loads(user.verb("status", "--json").stdout)[0]
    assert shown["steps"][1]["artifacts"] == ["steps/write/lines.txt"]
    assert shown["eta"]["error"] is not None


def test_a_cancelled_run_keeps_the_steps_that_it_completed(tmp_path: Path) -> None:
    import signal

    user = CommandLine(tmp_path / "outputs")
    running = user.start(*user.words("scenario=function", "measure.iterations=100000000"))
    assert running.stderr is not None
    for line in running.stderr:
        if "– measure" in line:
            break
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    manifest = schema.read(user.folders()[-1] / "manifest.json", "manifest")
    statuses = {step["name"]: step["status"] for step in manifest["steps"]}
    assert statuses == {"setup": "completed", "warmup": "completed", "measure": "cancelled", "report": "completed"}
    assert manifest["eta"]["error"] is None
    result = user.result()
    assert result["anomalies"][0].startswith("the run is cancelled")
