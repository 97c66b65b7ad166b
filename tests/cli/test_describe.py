"""`describe` explains every knob of an option without running or importing what it names."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import describe as verb
from harness.config.options import NOTHING, folders, groups
from harness.errors import NotFound

HEAVY = ("torch", "numpy", "hydra", "omegaconf", "jsonschema", "tabulate", "psutil")
SHIPPED = groups(folders()[:1])


@pytest.fixture(autouse=True)
def no_folder_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_CONFIG_DIR", raising=False)


def described(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert verb.main([*words, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def knob(document: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["knobs"] if one["key"] == key)
    return found


def test_a_knob_has_its_default_range_comment_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    document = described(capsys, "scenario=command")
    warmup = knob(document, "measure.warmup")
    assert warmup["takes"].startswith("a whole number >= 0")
    assert "kept out of all statistics" in warmup["about"]
    assert warmup["place"].startswith("conf/scenario/command.yaml:")
    shell = knob(document, "scenario.shell")
    assert shell["default"] == "/bin/sh"
    assert shell["takes"] == "text"
    assert knob(document, "affinity.threads")["place"] == "conf/affinity/inherited.yaml:2"
    assert document["chosen"]["telemetry"] == "full"


def test_metrics_come_with_unit_and_meaning_from_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {one["name"]: one for one in described(capsys, "scenario=command")["metrics"]}
    assert metrics["command.wall_ms"]["unit"] == "ms"
    assert metrics["iteration.duration_ms"]["meaning"]


@pytest.mark.parametrize(
    "what", [f"{group}={name}" for group, options in SHIPPED.items() for name in options if name != NOTHING]
)
def test_every_shipped_option_can_be_described(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main([what]) == 0
    assert what in capsys.readouterr().out


def test_a_users_scenario_is_described_without_importing_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my"
    (folder / "scenario").mkdir(parents=True)
    (tmp_path / "mine.py").write_text('raise SystemExit("imported")\nNAME = "seen_ms"\n')
    (folder / "scenario" / "mine.yaml").write_text(
        "# @package _global_\n# What I measure.\nscenario:\n  _target_: mine.work\n"
        "  # how much\n  # of it\n  size: 3\n  fault: {step: 7, kind: late}   # a real one\n"
        "metrics: {seen_ms: {unit: ms, better: lower}}\n"
    )
    document = described(capsys, "mine", "--config-dir", str(folder))
    assert knob(document, "scenario.size")["about"] == "how much of it"
    assert knob(document, "scenario.fault.kind") == {
        "key": "scenario.fault.kind", "default": "late", "takes": "anything", "about": "a real one",
        "place": f"{folder}/scenario/mine.yaml:8",
    }  # fmt: skip
    assert {"seen_ms", "iteration.duration_ms"} == {one["name"] for one in document["metrics"]}


@pytest.mark.parametrize(
    ("what", "hint"),
    [("scenario=commnd", "did you mean 'command'?"), ("devise=cpu", "did you mean 'device'?"), ("none", "")],
)
def test_what_does_not_exist_is_refused_with_a_hint(what: str, hint: str) -> None:
    with pytest.raises(NotFound) as refused:
        verb.main([what])
    assert hint in refused.value.hint


def test_neither_the_scenario_nor_hydra_is_imported() -> None:
    program = (
        "import sys; from harness.cli import describe; describe.main(['scenario=function']); "
        f"sys.exit(' '.join(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "\n", "these were imported"
