"""Only a state that proved healthy, in a file that is on the disk, is ever restored from it."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.controlloop.disktier.disk import CheckpointSettings, Disk
from harness.controlloop.snapshot import RestoreFailed, Snapshot
from harness.controlloop.trainer import Trainer
from harness.errors import BenchmarkFailed
from harness.journal.files import Files
from harness.journal.recovery import LogDamaged
from tests.controlloop.trainings import Told, trainer
from tests.disks import fill

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = CheckpointSettings(every=1, keep=3, threads=2, strict=True)


@contextmanager
def disk_of(training: Trainer, folder: Path, told: Told | None = None, **how: Any) -> Iterator[Disk]:
    disk = Disk(training.state, folder, how.pop("settings", SETTINGS), told or Told(), **how)
    try:
        yield disk
    finally:
        disk.close()


def healthy_step(training: Trainer, disk: Disk) -> None:
    """What the control loop does around a step; waits for the writer, so that no checkpoint is left out."""
    training.step()
    disk.confirm()
    assert disk.wait(60)
    training.advance()
    disk.keep()


def load(disk: Disk) -> Snapshot:
    return disk.load(deadline_ns=time.perf_counter_ns() + 60 * 10**9)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".ckpt" in path.name)


def test_the_newest_state_that_proved_healthy_comes_back(tmp_path: Path) -> None:
    training, hashes = trainer(), {}
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        for _ in range(4):
            hashes[training.progress.step] = training.state.digest()
            healthy_step(training, disk)
        snapshot = load(disk)
        assert snapshot.step == 3  # step 4 is a candidate still: nobody knows yet whether one can train from it
        training.state.adopt(snapshot)
        assert training.state.digest() == hashes[3]
        assert [target.transaction.step for target in disk.targets] == [1, 2, 3]
        assert disk.targets[-1].state == hashes[3]


def test_the_state_after_a_failed_epoch_is_never_restored(tmp_path: Path) -> None:
    """The trap: a checkpoint at every epoch's end, written also after a failed one, and then the target."""
    training, told = trainer(), Told()
    with disk_of(training, tmp_path, told) as disk:
        disk.keep()
        healthy_step(training, disk)
        good = training.state.digest()
        healthy_step(training, disk)
        training.step()  # fails: the state that step 2 left behind is the one nobody could train from
        disk.abandon("not_finite")
        assert disk.wait(60)
        assert [target.transaction.step for target in disk.targets] == [0, 1]
        training.state.adopt(load(disk))
        assert training.state.digest() == good
    assert told.named("tolaria.checkpoint.abandoned") == [{"level": "warning", "step": 2, "reason": "not_finite"}]
    with disk_of(trainer(), tmp_path) as disk:
        assert [target.transaction.step for target in disk.targets] == [0, 1]
    assert len(files(tmp_path)) == 2


def test_a_checkpoint_without_commit_is_no_target_and_does_not_stay(tmp_path: Path) -> None:
    training = trainer()
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        healthy_step(training, disk)
    (committed,) = files(tmp_path)
    (tmp_path / "step-000000007-99.ckpt").write_bytes((tmp_path / committed).read_bytes())
    (tmp_path / "step-000000008-99.ckpt.new").write_bytes(b"half")
    with disk_of(training, tmp_path) as disk:
        assert [target.transaction.file for target in disk.targets] == [committed]
    assert files(tmp_path) == [committed]


def test_a_damaged_checkpoint_is_told_and_the_older_one_is_used(tmp_path: Path) -> None:
    training, told = trainer(), Told()
    with disk_of(training, tmp_path, told) as disk:
        disk.keep()
        for _ in range(3):
            healthy_step(training, disk)
        newest = tmp_path / disk.targets[-1].transaction.file
        content = bytearray(newest.read_bytes())
        content[5000] ^= 1
        newest.write_bytes(content)
        older = tmp_path / disk.targets[-2].transaction.file
        os.truncate(older, older.stat().st_size // 2)
        assert load(disk).step == 0
        assert [event["step"] for event in told.named("tolaria.checkpoint.unusable")] == [2, 1]
        (tmp_path / disk.targets[0].transaction.file).unlink()
        with pytest.raises(RestoreFailed, match=r"no checkpoint could be restored; step 2: .*; step 1: .*; step 0: "):
            load(disk)


def test_a_checkpoint_is_left_out_while_another_is_on_its_way(tmp_path: Path) -> None:
    training = trainer()
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        training.advance()
        disk.keep()  # step 0 has not proved healthy, so its memory is in use
        assert disk.counters()["tolaria.checkpoint.skipped_total"] == 1


def test_going_back_drops_the_checkpoints_of_later_steps_for_good(tmp_path: Path) -> None:
    training = trainer()
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        for _ in range(3):
            healthy_step(training, disk)
        disk.forget(1)
        assert [target.transaction.step for target in disk.targets] == [0, 1]
    with disk_of(training, tmp_path) as disk:
        assert [target.transaction.step for target in disk.targets] == [0, 1]
        disk.rewind()
        assert disk.targets == ()
        with pytest.raises(RestoreFailed, match="none was committed"):
            load(disk)
    assert files(tmp_path) == []


def test_only_so_many_checkpoints_stay(tmp_path: Path) -> None:
    training = trainer()
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        for _ in range(6):
            healthy_step(training, disk)
        assert [target.transaction.step for target in disk.targets] == [3, 4, 5]
    assert len(files(tmp_path)) == 3


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    with disk_of(trainer(), tmp_path), pytest.raises(BenchmarkFailed, match="another process writes"):
        Disk(trainer().state, tmp_path, SETTINGS, Told())


class FullDisk(Files):
    """A disk that is full from some step on."""

    def __init__(self, applies: Callable[[str, Path], bool]) -> None:
        self.applies, self.is_full = applies, False

    def about_to(self, step: str, path: Path) -> None:
        if self.is_full and self.applies(step, path):
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["create", "write", "sync", "publish", "sync folder"])
def test_a_full_disk_fails_the_checkpoint_and_the_older_one_stays(tmp_path: Path, step: str) -> None:
    training, told = trainer(), Told()
    full = FullDisk(lambda about, path: about == step and path.suffix != ".log")
    with disk_of(training, tmp_path, told, files=full) as disk:
        disk.keep()
        training.step()
        disk.confirm()
        assert disk.wait(60)
        training.advance()
        full.is_full = True
        disk.keep()
        training.step()
        disk.confirm()
        assert disk.wait(60)
        assert [target.transaction.step for target in disk.targets] == [0]
        (failed,) = told.named("tolaria.checkpoint.failed")
        assert "No space left" in failed["reason"]
        full.is_full = False
        training.advance()
        disk.keep()
        healthy_step(training, disk)  # and the next one works
        assert [target.transaction.step for target in disk.targets] == [0, 2]
    with disk_of(trainer(), tmp_path) as disk:
        assert load(disk).step == 2


def test_a_really_full_disk_leaves_the_older_checkpoint_usable(small_disk: Path) -> None:
    training, told = trainer(), Told()
    with disk_of(training, small_disk / "run", told) as disk:
        disk.keep()
        healthy_step(training, disk)
        fill(small_disk, leave=8192)
        healthy_step(training, disk)
        healthy_step(training, disk)
        assert told.named("tolaria.checkpoint.failed")
        assert load(disk).step <= 1
        (small_disk / "filler").unlink()


def test_a_damaged_log_is_refused_or_counted(tmp_path: Path) -> None:
    training, told = trainer(), Told()
    with disk_of(training, tmp_path) as disk:
        disk.keep()
        for _ in range(2):
            healthy_step(training, disk)
    log = tmp_path / "wal" / "00000001.log"
    content = bytearray(log.read_bytes())
    content[100] ^= 4  # in the first BEGIN: that checkpoint is lost, the other one is not
    log.write_bytes(content)
    with pytest.raises(LogDamaged, match="byte 64"):
        Disk(training.state, tmp_path, SETTINGS, Told())
    lenient = CheckpointSettings(every=1, keep=3, threads=2, strict=False)
    with disk_of(training, tmp_path, told, settings=lenient) as disk:
        assert [target.transaction.step for target in disk.targets] == [1]
        assert told.named("wal.damaged")[0]["offset"] == 64
        assert load(disk).step == 1


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from harness.journal.files import Files
from tests.controlloop.disktier.test_disk import SETTINGS, Disk, Told, healthy_step, trainer

class Fatal(Files):
    steps = 0
    def about_to(self, step, path):
        Fatal.steps += 1
        if Fatal.steps == FATAL:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
trainer().step()  # imports what the first step imports, once for all
FIRST, LAST, FOLDER = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
for FATAL in range(FIRST, LAST):
    if os.fork() == 0:
        training = trainer()
        disk = Disk(training.state, FOLDER / str(FATAL), SETTINGS, Told(), files=Fatal())
        hashes = []
        disk.keep()
        for _ in range(4):
            hashes.append(training.state.digest())
            os.write(1, b"%d hash %d %s\\n" % (FATAL, training.progress.step, hashes[-1].encode()))
            healthy_step(training, disk)
            for target in disk.targets:
                os.write(1, b"%d committed %d\\n" % (FATAL, target.transaction.step))
        os.write(1, b"%d ended\\n" % FATAL)
        os._exit(0)
    if os.wait()[1] == 0:
        break
"""


def test_a_writer_killed_at_any_counted_step_leaves_a_whole_state_that_was_good(tmp_path: Path) -> None:
    """Kills at each change of the disk in turn; the next process finds what was committed, or the one after it."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "1", "200", str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, check=True
    )
    said: dict[int, list[list[bytes]]] = {}
    for line in done.stdout.splitlines():
        fatal, *rest = line.split()
        said.setdefault(int(fatal), []).append(rest)
    ended = 0
    training = trainer()
    for fatal, lines in said.items():
        hashes = {int(rest[1]): rest[2].decode() for rest in lines if rest[0] == b"hash"}
        committed = max((int(rest[1]) for rest in lines if rest[0] == b"committed"), default=-1)
        ended += [b"ended"] in lines
        with disk_of(training, tmp_path / str(fatal)) as disk:
            found = disk.targets[-1].transaction.step if disk.targets else -1
            assert found in (committed, committed + 1), fatal
            if found >= 0:
                training.state.adopt(load(disk))
                assert training.state.digest() == hashes[found], fatal
    assert ended == 1
    assert len(said) > 40
