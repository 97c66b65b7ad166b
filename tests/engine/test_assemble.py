"""What was measured becomes a document that fits its schema, or the run has failed."""

from pathlib import Path

from harness.journal.lines import read_journal
from harness.measure.samples import read_measured
from harness.results import schema
from tests.command_line import CommandLine


def test_a_result_that_does_not_fit_its_schema_fails_the_run_and_keeps_samples_and_events(tmp_path: Path) -> None:
    user = CommandLine(tmp_path / "outputs", Path(__file__).parent / "conf")
    done = user.run("scenario=telling", "scenario.plus_minus=-1.0")
    assert done.returncode == 3
    assert "metrics.iteration.duration_ms.error.plus_minus: -1.0 is less than the minimum of 0" in done.stderr
    (folder,) = user.folders()
    manifest = schema.read(folder / "manifest.json", "manifest")
    assert schema.validate(manifest, "manifest") == []
    assert (manifest["status"], manifest["exit_code"]) == ("failed", 3)
    assert "the result does not fit its schema" in manifest["reason"]["message"]
    assert not (folder / "result.json").exists()
    assert len(read_measured(folder / "samples.bin").series["iteration.duration_ms"].values) == 4
    events, broken = read_journal(folder / "events.jsonl")
    assert broken == 0
    assert [event["phase"] for event in events if event["event"] == "phase.started"] == [
        "setup", "warmup", "measure", "report",
    ]  # fmt: skip
