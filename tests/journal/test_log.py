"""The writer of a log never writes behind something bad, and what it acknowledged survives its death at any step."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import BenchmarkFailed, StoreLost
from harness.journal.files import Files
from harness.journal.frames import HEADER_BYTES, frame_bytes
from harness.journal.log import Log
from harness.journal.recovery import LogDamaged, recover
from tests.journal.damage import flipped, segments, written

ROOT = Path(__file__).resolve().parents[2]


class FailingFiles(Files):
    """Fails one step as a full or broken disk does."""

    def __init__(self, step: str, at: int) -> None:
        self._step, self._left = step, at

    def about_to(self, step: str, path: Path) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")


def payloads(folder: Path, *, strict: bool = True) -> list[bytes]:
    return [record.payload for record in recover(folder, strict=strict).records]


def test_a_log_opened_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    written(tmp_path, [b"one"])
    log = Log(tmp_path, segment_bytes=1024)
    assert log.append(0, b"two") == 2
    log.close()
    assert payloads(tmp_path) == [b"one", b"two"]
    assert len(segments(tmp_path)) == 1


def test_what_is_appended_after_a_torn_tail_is_not_lost(tmp_path: Path) -> None:
    """The trap: a reader that stops at the garbage never sees what a writer puts behind it."""
    written(tmp_path, [b"one", b"torn"])
    (path,) = segments(tmp_path)
    os.truncate(path, HEADER_BYTES + frame_bytes(3) + 10)
    for round_ in range(3):
        log = Log(tmp_path, segment_bytes=1024)
        log.append(0, b"after %d" % round_)
        log.close()
    assert payloads(tmp_path) == [b"one", b"after 0", b"after 1", b"after 2"]
    assert len(recover(tmp_path).torn) == 1


def test_what_is_appended_leniently_after_damage_is_not_lost(tmp_path: Path) -> None:
    written(tmp_path, [b"one", b"two", b"three"])
    (path,) = segments(tmp_path)
    path.write_bytes(flipped(path.read_bytes(), (HEADER_BYTES + frame_bytes(3) + 26) * 8))
    with pytest.raises(LogDamaged):
        Log(tmp_path)
    log = Log(tmp_path, segment_bytes=1024, strict=False)
    assert len(log.recovery.flaws) == 1
    log.append(0, b"after")
    log.close()
    assert payloads(tmp_path, strict=False) == [b"one", b"three", b"after"]
    with pytest.raises(LogDamaged, match="record 2"):  # it stays damaged for whoever wants to know
        recover(tmp_path)


def test_a_damaged_last_record_does_not_swallow_what_comes_after_it(tmp_path: Path) -> None:
    written(tmp_path, [b"one", b"two"])
    (path,) = segments(tmp_path)
    path.write_bytes(flipped(path.read_bytes(), (HEADER_BYTES + frame_bytes(3) + 2) * 8))
    log = Log(tmp_path, segment_bytes=1024, strict=False)
    log.append(0, b"after")
    log.close()
    assert payloads(tmp_path, strict=False) == [b"one", b"after"]


def test_records_rotate_through_segments_that_have_their_full_size_from_the_start(tmp_path: Path) -> None:
    log = Log(tmp_path, segment_bytes=1024)
    for number in range(40):
        log.append(0, b"%d" % number * 20)
        assert {path.stat().st_size for path in segments(tmp_path)} == {1024}
    log.close()
    assert payloads(tmp_path) == [b"%d" % number * 20 for number in range(40)]


def test_a_record_larger_than_a_segment_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    log = Log(tmp_path, segment_bytes=1024)
    with pytest.raises(ValueError, match="should have at most 936 bytes"):
        log.append(0, bytes(937))
    assert log.append(0, b"x" * 936) == 1
    log.close()
    assert payloads(tmp_path) == [b"x" * 936]


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    log = Log(tmp_path)
    with pytest.raises(BenchmarkFailed, match="another process writes"):
        Log(tmp_path)
    log.close()
    Log(tmp_path).close()


@pytest.mark.parametrize("step", ["write", "sync"])
def test_after_a_failed_write_or_sync_the_log_takes_nothing_more_until_it_is_opened_anew(
    tmp_path: Path, step: str
) -> None:
    log = Log(tmp_path, segment_bytes=1024, files=FailingFiles(step, 3))  # the first is the segment's header
    log.append(0, b"kept")
    with pytest.raises(StoreLost, match="No space left"):
        log.append(0, b"lost")
    with pytest.raises(StoreLost, match="failed before"):
        log.append(0, b"refused")
    log.close()
    log = Log(tmp_path, segment_bytes=1024)
    log.append(0, b"after")
    log.close()
    assert payloads(tmp_path)[0] == b"kept"
    assert payloads(tmp_path)[-1] == b"after"


@pytest.mark.parametrize("step", ["create", "write", "sync", "publish", "sync folder"])
def test_no_room_for_a_new_segment_is_a_clear_error_and_keeps_the_old_ones(tmp_path: Path, step: str) -> None:
    records = written(tmp_path, [b"x" * 900], segment_bytes=1024)
    log = Log(tmp_path, segment_bytes=1024, files=FailingFiles(step, 1))
    with pytest.raises(StoreLost, match="No space left"):
        log.append(0, b"y" * 900)
    log.close()
    assert recover(tmp_path).records == records
    log = Log(tmp_path, segment_bytes=1024)
    log.append(0, b"z" * 900)
    log.close()
    assert payloads(tmp_path) == [b"x" * 900, b"z" * 900]


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from harness.journal.files import Files
from harness.journal.log import Log

class Fatal(Files):
    steps = 0
    def about_to(self, step, path):
        Fatal.steps += 1
        if Fatal.steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

log = Log(Path(sys.argv[1]), segment_bytes=1024, files=Fatal())
for number in range(12):
    log.append(0, b"%d" % number * 60)
    os.write(1, b"%d\\n" % number)
"""


def test_a_writer_killed_at_any_counted_step_loses_nothing_acknowledged(tmp_path: Path) -> None:
    for step in range(1, 100):
        folder = tmp_path / str(step)
        done = subprocess.run(
            [sys.executable, "-c", KILLED_WRITER, str(folder), str(step)], stdout=subprocess.PIPE, cwd=ROOT, check=False
        )
        acknowledged = [b"%d" % int(line) * 60 for line in done.stdout.split()]
        found = payloads(folder)
        assert found[: len(acknowledged)] == acknowledged
        assert len(found) <= len(acknowledged) + 1
        log = Log(folder, segment_bytes=1024)
        log.append(0, b"after")
        log.close()
        assert payloads(folder) == [*found, b"after"]
        if done.returncode == 0:
            assert step > 24
            return
        assert done.returncode == -signal.SIGKILL
    raise AssertionError("the writer never came to its end")
