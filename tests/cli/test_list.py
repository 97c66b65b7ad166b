"""`list` says what can be run, and costs little more than Python itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import list as verb

HEAVY = ("torch", "numpy", "hydra", "omegaconf", "yaml", "jsonschema", "tabulate", "psutil", "hashlib", "sqlite3")


@pytest.fixture(autouse=True)
def no_folder_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_CONFIG_DIR", raising=False)


def test_scenarios_suites_and_options_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main([]) == 0
    said = capsys.readouterr().out
    assert "function" in said
    assert "A Python function" in said
    assert "smoke" in said
    assert "cpu*" in said
    assert "none" not in said.split("options:")[0]
    assert said.index("scenarios:") < said.index("suites:") < said.index("options:")


def test_one_group_is_listed_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main(["device"]) == 0
    said = capsys.readouterr().out
    assert "An NVIDIA GPU" in said
    assert "(default)" in said
    assert "scenario" not in said


def test_a_users_scenario_is_listed_with_its_file_and_a_hidden_one_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scenario").mkdir()
    (tmp_path / "scenario" / "mine.yaml").write_text("# @package _global_\n# What I measure.\n")
    (tmp_path / "scenario" / "function.yaml").write_text("# Never read.\n")
    assert verb.main(["--config-dir", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "What I measure." in said.out
    assert f"[{tmp_path}/scenario/mine.yaml]" in said.out
    assert "Never read." not in said.out
    assert f"{tmp_path}/scenario/function.yaml: is never read" in said.err


def test_a_file_that_ends_in_yml_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scenario").mkdir()
    (tmp_path / "scenario" / "mine.yml").write_text("# What I measure.\n")
    verb.main(["--config-dir", str(tmp_path)])
    assert f"{tmp_path}/scenario/mine.yml: is never read; name it mine.yaml" in capsys.readouterr().err


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main(["--json", "telemetry"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "harness.list/1"
    assert {one["name"]: one["default"] for one in document["groups"]["telemetry"]} == {
        "disabled": False, "full": True, "light": False
    }  # fmt: skip


def test_an_unknown_group_and_folder_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.main(["devise", "--config-dir", "/absent"]) == 2
    said = capsys.readouterr().err
    assert "unknown group 'devise'; did you mean 'device'?" in said
    assert "folder /absent: no such folder" in said


def test_nothing_heavy_is_imported() -> None:
    found = f"' '.join(set({HEAVY!r}) & set(sys.modules))"
    program = f"import sys; from harness.cli import list; list.main([]); sys.exit({found})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "\n", "these were imported"
