"""Kill -9 of supervisor, worker and zygote at random moments: nothing acknowledged is lost, nothing survives."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.journal.lines import read_journal
from harness.measure.samples import SampleFile, read_measured
from harness.results.index import Index
from harness.results.store import Store
from tests.command_line import CommandLine

pytestmark = pytest.mark.faults

TRIALS = 200
FOLDS = 8  # the trials are spread over the processes that run the tests
WORK = ("scenario=steady", "measure.iterations=30000")


@pytest.fixture(scope="module")
def whole_run_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long an undisturbed run takes on this machine, now."""
    user = CommandLine(tmp_path_factory.mktemp("probe") / "outputs", Path(__file__).parent / "conf")
    started = time.monotonic()
    assert user.run(*WORK).returncode == 0
    return time.monotonic() - started


def victims(user: CommandLine, supervisor: subprocess.Popen[str]) -> dict[str, int]:
    """The processes of the run at this moment, by what they are."""
    found = {"supervisor": supervisor.pid}
    for process in user.survivors():
        if process.pid == supervisor.pid:
            continue
        try:
            parent = process.ppid()
        except Exception:
            continue
        found["zygote" if parent == supervisor.pid else "worker"] = process.pid
    return found


def acknowledged_samples(user: CommandLine) -> Iterator[tuple[Path, int]]:
    """The samples that a reader from outside can count in the sample files right now."""
    for folder in user.folders():
        path = folder / "samples.bin"
        if path.exists() and path.stat().st_size > 65536:
            file = SampleFile(path)
            yield path, file.count
            file.close()


@pytest.mark.timeout(560)
@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_kill_at_any_moment_loses_nothing_acknowledged(fold: int, tmp_path: Path, whole_run_s: float) -> None:
    chance = random.Random(fold)
    for trial in range(TRIALS // FOLDS):
        user = CommandLine(tmp_path / f"outputs{trial}", Path(__file__).parent / "conf")
        role = ("supervisor", "worker", "zygote")[(fold + trial) % 3]
        process = user.start(*user.words(*WORK))
        # The moment is random by design; whatever the run is doing then, the claims below must hold.
        time.sleep(chance.uniform(0, whole_run_s * 1.05))
        pid = victims(user, process).get(role, process.pid)
        counted = list(acknowledged_samples(user))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            role = "nobody, the run had ended"
        out, err = process.communicate(timeout=60)
        message = f"fold {fold}, trial {trial}, killed {role}: exit {process.returncode}\n{out}\n{err}"
        check(user, process.returncode, counted, message)


def check(user: CommandLine, code: int, counted: list[tuple[Path, int]], message: str) -> None:
    user.await_no_survivors()
    assert "Traceback" not in message, message
    for path, count in counted:
        assert all(len(series.values) <= 30000 for series in read_measured(path).series.values())
        file = SampleFile(path) if path.stat().st_size > 65536 else None
        if file is not None:
            assert file.count >= count, message
            file.close()
    if not user.outputs.exists():
        return
    store = Store(user.outputs)
    recovered = {manifest["run_id"] for manifest in store.recover()}
    assert store.recover() == [], message
    for folder in user.folders():
        if not (folder / "manifest.json").exists():
            continue  # killed while the folder was being made: the run was not acknowledged
        manifest = json.loads((folder / "manifest.json").read_bytes())
        assert manifest["status"] in ("completed", "failed", "crashed"), message
        if manifest["status"] == "crashed":
            assert folder.name in recovered, message
        elif folder.name in recovered:  # killed after its result was kept, before it could say so
            assert (folder / "result.json").exists(), message
        if code in (0, 3):
            assert (folder / "result.json").exists(), message
        if (folder / "events.jsonl").exists():
            events, torn = read_journal(folder / "events.jsonl")
            assert [event["seq"] for event in events] == list(range(len(events))), message
            assert torn <= 1
        assert not (user.outputs / "active" / folder.name).exists(), message
    index = Index(user.outputs)
    listed = {row["run_id"] for row in index.find()}
    index.close()
    assert {folder.name for folder in user.folders() if (folder / "manifest.json").exists()} <= listed, message
    store.close()
