"""Every command of the README does what the README says, run in its order as a new user would."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [body for _, label, body in BLOCK.findall(TEXT) if label == kind]


def commands(*kinds: str) -> list[tuple[str, str]]:
    """Kind and command, in the order of the text."""
    found = [(label, body) for _, label, body in BLOCK.findall(TEXT) if label in kinds]
    return [(label, line) for label, body in found for line in body.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the files that the README shows, and beside it the same as it was before."""
    folder = tmp_path_factory.mktemp("tour") / "now"
    for _, label, body in BLOCK.findall(TEXT):
        if label.startswith("file="):
            path = folder / label.removeprefix("file=")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
    shutil.copytree(folder, folder.parent / "before")
    return folder


def start(command: str, place: Path) -> subprocess.Popen[str]:
    words = shlex.split(command, comments=True)
    assert words[0] == "python"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(place)}
    return subprocess.Popen(
        [sys.executable, *words[1:]],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    started = start(command, place)
    out, err = started.communicate()
    return subprocess.CompletedProcess(command, started.returncode, out, err)


def interrupt(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Presses Ctrl-C once an iteration was measured."""
    started = start(command, place)
    while started.poll() is None:
        progress = json.loads(run("python -m harness status --json", place).stdout)[0]["progress"] or {"units": None}
        if progress["units"] and progress["done"] >= 1:
            started.send_signal(signal.SIGINT)
            break
    out, err = started.communicate()
    return subprocess.CompletedProcess(command, started.returncode, out, err)


@pytest.mark.tour
@pytest.mark.timeout(300)
def test_the_tour_works_from_its_first_command_to_its_last(place: Path) -> None:
    assert len(commands("tour")) >= 12
    codes = {"tour": 0, "slower": 1, "interrupted": 130}
    for kind, command in commands(*codes):
        done = interrupt(command, place) if kind == "interrupted" else run(command, place)
        assert done.returncode == codes[kind], f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert (place / "outputs" / "summary.csv").exists()


@pytest.mark.tour
def test_the_lines_for_a_notebook_print_what_they_promise(place: Path) -> None:
    (body,) = blocks("notebook")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("none ")  # the verdict, as there is no rule


@pytest.mark.tour
@pytest.mark.timeout(300)
def test_a_local_model_is_measured(place: Path) -> None:
    for _, command in commands("llm"):
        done = run(command, place)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "llm.ttft_ms" in done.stdout


@pytest.mark.tour
def test_the_mistakes_are_refused_with_hints(place: Path) -> None:
    for _, command in commands("refused"):
        done = run(command, place)
        assert done.returncode == 2
        assert "did you mean 'iterations'?" in done.stderr
        assert "must be >= 0, found -1" in done.stderr


def test_the_two_commands_are_the_first_thing() -> None:
    first, second = (body.strip() for body in blocks("") if body.startswith("python3 -m venv"))
    assert first.endswith("-m harness scenario=rollback")
    assert second.endswith("-m pytest")
    assert TEXT.index(second) < TEXT.index("## ")


def test_the_test_command_is_what_continuous_integration_runs() -> None:
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
