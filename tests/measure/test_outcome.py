"""The hash of the outcome goes on where a killed run's had come to, and is that of an undisturbed run."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.measure.outcome import SLOTS, Outcome, before
from harness.measure.samples import HEADER_BYTES, TOLD_KEPT, SampleFile, Word

OPEN = contextlib.ExitStack()


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    OPEN.close()


def a_file(folder: Path, name: str = "samples.bin") -> SampleFile:
    made = SampleFile(folder / name, create=True, capacity=8)
    OPEN.callback(made.close)
    return made


def test_the_hash_depends_on_every_piece_and_on_their_order(tmp_path: Path) -> None:
    found = set()
    for number, pieces in enumerate([(b"a", b"b"), (b"b", b"a"), (b"a",), (b"a", b"b", b"")]):
        outcome = Outcome(a_file(tmp_path, str(number)))
        for iteration, piece in enumerate(pieces):
            outcome.add(piece, iteration)
        found.add(outcome.hex)
    assert len(found) == 4


def test_nothing_hashed_is_no_hash(tmp_path: Path) -> None:
    assert Outcome(a_file(tmp_path)).hex is None


@pytest.mark.parametrize("kept", range(7))
def test_what_an_iteration_that_was_cut_short_had_hashed_is_forgotten(kept: int, tmp_path: Path) -> None:
    whole = Outcome(a_file(tmp_path, "whole"))
    for iteration in range(7):
        for piece in range(iteration % 3):  # iterations 0, 3 and 6 give nothing
            whole.add(bytes([iteration, piece]), iteration)

    killed = a_file(tmp_path, "killed")
    first = Outcome(killed)
    for iteration in range(kept + 1):
        for piece in range(iteration % 3):
            first.add(bytes([iteration, piece]), iteration)  # the last one was never acknowledged

    resumed = a_file(tmp_path, "resumed")
    carried = before(killed, kept)
    if carried is not None:
        at = int(Word.OUTCOME)
        resumed.words[at] = kept
        resumed.words[at + 1 : at + 5] = memoryview(carried).cast("q")
    resumed.words[int(Word.KEPT)] = kept
    second = Outcome(resumed)
    for iteration in range(kept, 7):
        for piece in range(iteration % 3):
            second.add(bytes([iteration, piece]), iteration)
    assert second.hex == whole.hex


def test_what_the_header_holds_lies_side_by_side() -> None:
    assert max(Word.TOLD, Word.KEPT, Word.COMPLETED) < Word.OUTCOME
    assert SLOTS.stop <= Word.TOLD_IN
    assert Word.TOLD_IN + TOLD_KEPT <= HEADER_BYTES // 8
