"""A checkpoint is read back whole and verified, or it says where it is damaged; the live state is never torn."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from harness.controlloop.disktier import checkpoint
from harness.controlloop.disktier.checkpoint import (
    PAGE,
    Abandoned,
    CheckpointDamaged,
    Written,
    chunks_of,
    read_index,
    write,
)
from harness.controlloop.disktier.readers import Work
from harness.controlloop.disktier.shadow import RestoreLate, Shadow
from harness.controlloop.disktier.wal import toolchain
from harness.controlloop.snapshot import RestoreFailed, Snapshot
from harness.controlloop.trainer import Trainer
from harness.journal.files import Files
from tests.controlloop.trainings import TRANSFORMER, trainer

CHUNK = 4096


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr("harness.controlloop.disktier.shadow.CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(chunks_of, "__defaults__", (CHUNK,))


@contextmanager
def shadow_of(training: Trainer) -> Iterator[Shadow]:
    shadow = Shadow(training.state, threads=2)
    try:
        yield shadow
    finally:
        shadow.close()


def in_a_minute() -> int:
    return time.perf_counter_ns() + 60 * 10**9


def open_descriptors() -> int:
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else 0


def train(training: Trainer, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        losses.append(training.step().loss)
        training.advance()
    return losses


def after(training: Trainer, steps: int) -> Snapshot:
    train(training, steps)
    return training.state.capture(training.state.new_arena())


def save(path: Path, snapshot: Snapshot) -> Written:
    return write(path, snapshot, toolchain(), files=Files())


def test_another_training_goes_on_from_a_checkpoint_bit_by_bit(tmp_path: Path) -> None:
    first = trainer()
    written = save(tmp_path / "one", after(first, 5))
    losses = train(first, 4)
    other = trainer(seed=11)
    with shadow_of(other) as shadow:
        snapshot = shadow.load(tmp_path / "one", deadline_ns=in_a_minute(), seal=written.seal)
        other.state.adopt(snapshot)
    assert other.state.digest() == written.state
    assert other.progress.step == 5
    assert train(other, 4) == losses


def test_the_hash_of_a_file_is_that_of_the_live_state(tmp_path: Path) -> None:
    training = trainer()
    assert save(tmp_path / "one", after(training, 2)).state == training.state.digest()
    assert (tmp_path / "one").stat().st_size == save(tmp_path / "two", after(training, 0)).bytes


def test_a_shadow_is_used_again_and_again(tmp_path: Path) -> None:
    training = trainer()
    written = save(tmp_path / "one", after(training, 1))
    with shadow_of(training) as shadow:
        for _ in range(5):
            training.step()
            training.state.adopt(shadow.load(tmp_path / "one", deadline_ns=in_a_minute()))
            assert training.state.digest() == written.state


def damaged_everywhere(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file cut at every border of a chunk and beside it, and with bytes flipped in each of its pieces."""
    content = path.read_bytes()
    borders = {PAGE, len(content) - 40, len(content) - 41, len(content) - 1}
    borders |= {at + beside for at in range(0, len(content), CHUNK) for beside in (-1, 0, 1)}
    for at in sorted(border for border in borders if 0 <= border < len(content)):
        yield f"cut at {at}", content[:at]
    for at in range(0, len(content), 499):
        yield f"flipped at {at}", content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]
        yield f"zeros at {at}", content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]


def test_a_file_cut_at_any_chunk_border_or_changed_anywhere_is_refused_and_the_live_state_stays(
    tmp_path: Path,
) -> None:
    training = trainer()
    written = save(tmp_path / "one", after(training, 2))
    training.step()
    live, refused = training.state.digest(), 0
    with shadow_of(training) as shadow:
        for what, content in damaged_everywhere(tmp_path / "one"):
            (tmp_path / "damaged").write_bytes(content)
            try:
                snapshot = shadow.load(tmp_path / "damaged", deadline_ns=in_a_minute(), seal=written.seal)
            except CheckpointDamaged:
                refused += 1
                assert training.state.digest() == live, what
                continue
            training.state.adopt(snapshot)  # zeros over zeros, or the room between blocks and index
            assert training.state.digest() == written.state, what
            training.step()
            live = training.state.digest()
    assert refused > 100


def test_the_first_bad_chunk_is_named(tmp_path: Path) -> None:
    training = trainer()
    save(tmp_path / "one", after(training, 1))
    with (tmp_path / "one").open("r+b") as file:
        file.seek(PAGE + CHUNK + 100)
        file.write(b"\xff\xff\xff\xff")
    with shadow_of(training) as shadow, pytest.raises(CheckpointDamaged) as raised:
        shadow.load(tmp_path / "one", deadline_ns=in_a_minute())
    assert raised.value.offset == PAGE + CHUNK


def test_another_file_under_the_committed_name_is_refused(tmp_path: Path) -> None:
    training = trainer()
    sealed = save(tmp_path / "one", after(training, 1)).seal
    save(tmp_path / "one", after(training, 1))
    with shadow_of(training) as shadow, pytest.raises(CheckpointDamaged, match="another file than the one"):
        shadow.load(tmp_path / "one", deadline_ns=in_a_minute(), seal=sealed)


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "one", after(trainer(TRANSFORMER), 1))
    training = trainer()
    with shadow_of(training) as shadow, pytest.raises(RestoreFailed, match="holds a model of layout"):
        shadow.load(tmp_path / "one", deadline_ns=in_a_minute())


def test_a_slow_read_misses_its_deadline_and_the_live_state_keeps_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is held up inside a read of a pipe that nobody writes to, as by a disk that does not answer."""
    training = trainer()
    written = save(tmp_path / "one", after(training, 1))
    training.step()
    live = training.state.digest()
    nothing, writer = os.pipe()
    preadv = os.preadv

    def stuck(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        os.read(nothing, 1)
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", stuck)
    with shadow_of(training) as shadow:
        with pytest.raises(RestoreLate, match=r"0 of .* chunks of one were verified in time"):
            shadow.load(tmp_path / "one", deadline_ns=time.perf_counter_ns() + 20_000_000)
        assert training.state.digest() == live
        with pytest.raises(RestoreLate, match="still stuck in the disk"):
            shadow.load(tmp_path / "one", deadline_ns=time.perf_counter_ns() + 20_000_000)
        os.close(writer)  # the disk answers at last: what comes late goes to the shadow, and nowhere else
        assert shadow._readers.free(in_a_minute())
        assert training.state.digest() == live
        training.state.adopt(shadow.load(tmp_path / "one", deadline_ns=in_a_minute(), seal=written.seal))
        assert training.state.digest() == written.state
    os.close(nothing)


def test_a_deadline_that_has_passed_is_never_met(tmp_path: Path) -> None:
    training = trainer()
    save(tmp_path / "one", after(training, 1))
    with shadow_of(training) as shadow, pytest.raises(RestoreLate):
        shadow.load(tmp_path / "one", deadline_ns=time.perf_counter_ns())


def test_a_chunk_is_read_to_its_end_where_the_kernel_gives_it_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trainer()
    written = save(tmp_path / "one", after(training, 1))
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: preadv(fd, [buffers[0][:1000]], at))
    with shadow_of(training) as shadow:
        training.state.adopt(shadow.load(tmp_path / "one", deadline_ns=in_a_minute()))
    assert training.state.digest() == written.state


def test_chunks_cover_all_blocks_once() -> None:
    sizes = [10 * CHUNK, 1, CHUNK + 64]
    chunks = chunks_of(sizes, CHUNK)
    for number, size in enumerate(sizes):
        mine = [chunk for chunk in chunks if chunk.block == number]
        assert [chunk.at for chunk in mine] == list(range(0, size, CHUNK))
        assert sum(chunk.bytes for chunk in mine) == size
    spans = sorted((chunk.offset, chunk.offset + chunk.bytes) for chunk in chunks)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_an_abandoned_checkpoint_leaves_no_file(tmp_path: Path) -> None:
    training = trainer()
    with pytest.raises(Abandoned):
        write(tmp_path / "one", after(training, 1), {}, files=Files(), stop=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_the_descriptor_is_closed_by_the_last_thread(tmp_path: Path) -> None:
    training = trainer()
    save(tmp_path / "one", after(training, 1))
    before = open_descriptors()
    with shadow_of(training) as shadow:
        for _ in range(20):
            shadow.load(tmp_path / "one", deadline_ns=in_a_minute())
            with pytest.raises(RestoreFailed):
                shadow.load(tmp_path / "one", deadline_ns=in_a_minute(), seal="0" * 16)
    assert open_descriptors() == before


def test_a_late_work_stops_its_threads() -> None:
    assert torch.get_num_threads() == 1
    work = Work(Path("none"), os.open(os.devnull, os.O_RDONLY), [], [], [], 1)
    assert not work.wait(time.perf_counter_ns())
    assert work._stopped
    assert not work.left(time.perf_counter_ns())
    work.take_part()
    assert work.left(time.perf_counter_ns())


def test_an_index_is_read_without_its_blocks(tmp_path: Path) -> None:
    training = trainer()
    save(tmp_path / "one", after(training, 3))
    descriptor = os.open(tmp_path / "one", os.O_RDONLY)
    index = read_index(tmp_path / "one", descriptor)
    os.close(descriptor)
    assert (index.step, index.run_id) == (3, "run")
    assert index.toolchain == toolchain()
    assert index.parts().keys() == training.state.parts.keys()
