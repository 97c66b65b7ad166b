"""Only a COMMIT makes a checkpoint a restore target, and what was said survives the process that said it."""

from dataclasses import replace
from pathlib import Path

from harness.controlloop.disktier.wal import Transaction, Wal, toolchain

ONE = Transaction("step-1.ckpt", "layout", "run", 1, 0, toolchain())
TWO = replace(ONE, file="step-2.ckpt", step=2)


def reopened(folder: Path) -> tuple[list[str], list[str]]:
    """The files that may be restored, and those that were begun and never ended, as a new process finds them."""
    wal = Wal(folder, strict=True)
    wal.close()
    return [target.transaction.file for target in wal.targets], [one.file for one in wal.unfinished]


def test_a_commit_makes_a_target_with_all_that_names_it(tmp_path: Path) -> None:
    wal = Wal(tmp_path, strict=True)
    transaction = wal.begin(ONE)
    assert wal.targets == []
    target = wal.commit(transaction, size=100, seal="seal", state="hash")
    wal.close()
    again = Wal(tmp_path, strict=True)
    assert again.targets == [target]
    assert replace(target.transaction, number=0) == ONE
    assert {"python", "torch", "numpy"} <= target.transaction.toolchain.keys()
    again.close()


def test_what_was_begun_and_not_committed_is_no_target(tmp_path: Path) -> None:
    wal = Wal(tmp_path, strict=True)
    first = wal.begin(ONE)
    wal.begin(TWO)
    wal.abort(first, "a step failed")
    wal.close()
    assert reopened(tmp_path) == ([], ["step-2.ckpt"])


def test_a_commit_after_an_abort_counts_for_nothing(tmp_path: Path) -> None:
    wal = Wal(tmp_path, strict=True)
    first = wal.begin(ONE)
    wal.abort(first, "a step failed")
    wal.commit(first, size=1, seal="", state="")
    wal.close()
    assert reopened(tmp_path) == ([], [])


def test_going_back_takes_later_steps_off_the_list_and_they_can_be_committed_anew(tmp_path: Path) -> None:
    wal = Wal(tmp_path, strict=True)
    for transaction in (ONE, TWO):
        wal.commit(wal.begin(transaction), size=1, seal="", state="")
    wal.forget(1)
    wal.close()
    assert reopened(tmp_path)[0] == ["step-1.ckpt"]
    wal = Wal(tmp_path, strict=True)
    wal.commit(wal.begin(TWO), size=1, seal="", state="")
    wal.close()
    assert reopened(tmp_path)[0] == ["step-1.ckpt", "step-2.ckpt"]


def test_hundreds_of_checkpoints_go_through_segments(tmp_path: Path) -> None:
    wal = Wal(tmp_path, strict=True, segment_bytes=4096)
    for step in range(60):
        wal.commit(wal.begin(replace(ONE, file=f"{step}.ckpt", step=step)), size=1, seal="s", state="h")
    wal.close()
    assert len(list(tmp_path.glob("*.log"))) > 1
    assert reopened(tmp_path)[0] == [f"{step}.ckpt" for step in range(60)]
