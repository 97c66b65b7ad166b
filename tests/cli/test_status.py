"""`status` and `watch` show a run from another terminal, light as every reading verb."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import show, status, watch
from harness.errors import NotFound
from harness.results.store import Store
from tests.cli.stores import store
from tests.cli.test_light_verbs import HEAVY
from tests.command_line import CommandLine
from tests.track.events import phase, started
from tests.track.stored import a_running_run, a_timed_run

__all__ = ["store"]

PHASES = {"setup": 1.0, "warmup": 3.0, "measure": 10.0, "report": 1.0}


def test_without_a_name_those_that_run_are_shown(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    a_timed_run(store, PHASES)
    run = a_running_run(store, started(0, 10), phase(0.0, "setup"))
    assert status.main([]) == 0
    printed = capsys.readouterr().out
    assert f"{run.run_id}: rollback on cpu" in printed
    assert "Step 1/3 – set up (ETA unknown (no history)" in printed


def test_without_any_that_runs_the_last_is_shown(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_timed_run(store, PHASES)
    assert status.main([]) == 0
    printed = capsys.readouterr().out
    assert f"{run.run_id}: rollback on cpu" in printed
    assert "completed" in printed
    assert "10.00 s" in printed


def test_programs_get_a_list(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    a_timed_run(store, PHASES)
    assert status.main(["last", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["schema"] == "harness.status/1"
    assert document["last_completed_step"] == "judge and store"


def test_there_must_be_a_run_to_show(store: Store) -> None:
    with pytest.raises(NotFound, match="no run is stored"):
        status.main([])
    with pytest.raises(NotFound, match="no run is running"):
        watch.main([])


def test_watching_a_run_that_ended_tells_its_status_and_gives_its_exit_code(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    a_timed_run(store, PHASES)
    assert watch.main(["last"]) == 0
    assert "completed" in capsys.readouterr().out


def test_programs_get_a_line_a_look(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    a_timed_run(store, PHASES)
    assert watch.main(["last", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "completed"


@pytest.mark.parametrize("call", ["status.main([])", "status.main(['last', '--json'])", "watch.main(['last'])"])
def test_they_import_nothing_heavy(call: str, tmp_path: Path) -> None:
    made = Store(tmp_path)
    a_timed_run(made, PHASES)
    made.close()
    verb = call.split(".", maxsplit=1)[0]
    program = (
        f"import sys; from harness.cli import {verb}; {call}; sys.exit(' '.join(set({HEAVY!r}) & set(sys.modules)))"
    )
    environment = {**os.environ, "HARNESS_OUTPUTS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == "\n", "these were imported"


def test_a_running_command_is_followed_to_its_end_from_another_terminal(tmp_path: Path) -> None:
    user = CommandLine(tmp_path / "outputs")
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    wait = f"scenario.command='read line < {gate}'"  # it waits until someone writes
    words = user.words("scenario=command", wait, "measure.warmup=0", "measure.iterations=1", "scenario.shell_runs=1")
    running = user.start(*words)
    assert running.stderr is not None
    for line in running.stderr:
        if "Step 2/3 – measure" in line:
            break
    shown = json.loads(user.verb("status", "--json").stdout)[0]
    watching = user.start("watch", "--interval", "0.1")
    assert watching.stdout is not None
    first = watching.stdout.readline()
    with gate.open("w") as file:
        file.write("\n")
    out, _ = watching.communicate(timeout=60)
    running.communicate(timeout=60)
    assert (shown["status"], shown["progress"]["step"], shown["progress"]["units"]) == ("running", "measure", 1)
    assert first.startswith("Step 2/3 – measure")
    assert "completed" in out
    assert watching.returncode == 0


def test_a_run_that_lost_its_process_shows_its_last_completed_step(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_running_run(store, started(0, 10), phase(0.0, "setup"), phase(1.0, "measure", iterations=10))
    marker = store.active / run.run_id
    lost = json.loads(marker.read_text())
    lost["identity"]["start_ticks"] += 1  # the process of this id is another one now
    marker.write_text(json.dumps(lost))
    assert status.main([run.run_id]) == 0
    printed = capsys.readouterr().out
    assert "last completed step: set up" in printed
    assert show.main([run.run_id]) == 0
    assert "crashed" in capsys.readouterr().out
    steps = json.loads((run.folder / "manifest.json").read_text())["steps"]
    assert [step["status"] for step in steps] == ["completed", "crashed", "pending"]
