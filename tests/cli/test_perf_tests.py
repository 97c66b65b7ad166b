"""`perf-tests` runs its suite, writes its document, and says that there is no baseline where there is none."""

import json
from pathlib import Path

from harness.results import schema
from harness.results.perf_tests import FILE
from tests.command_line import CommandLine

SUITE = """\
# @package _global_
# Two short scenarios.
suite: two
hydra:
  mode: MULTIRUN
  sweeper: {params: {scenario: "function,command"}}
"""


def test_the_document_is_written_and_fits_its_schema(tmp_path: Path) -> None:
    (tmp_path / "conf" / "suite").mkdir(parents=True)
    (tmp_path / "conf" / "suite" / "two.yaml").write_text(SUITE)
    (tmp_path / "baselines").mkdir()
    user = CommandLine(tmp_path / "outputs")
    words = ("perf-tests", "--suite", "two", "--config-dir", str(tmp_path / "conf"), "lock=shared")
    done = user.verb(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads((user.outputs / FILE).read_bytes())
    assert schema.validate(document, "perf_test_results") == []
    assert [each["scenario"] for each in document["scenarios"]] == ["function", "command"]
    assert document["level"] == "no_baseline"
    assert "no baseline" in done.stdout
    assert len(user.folders()) == 2, "they are stored as any run"


def test_a_word_that_is_no_override_is_refused(tmp_path: Path) -> None:
    done = CommandLine(tmp_path / "outputs").verb("perf-tests", "now")
    assert done.returncode == 2
    assert "argument now: is no override" in done.stderr
