"""The file of a checkpoint: one state at a step boundary, in chunks that are each verified by themselves.

    page          magic "harnCKP\\n", version, zeros
    blocks        the arena as it is, each block from a multiple of 4096 on
    index         JSON: what is in the file, where, and the xxh3 of every chunk; then the raw bytes that it refers to
    footer        magic, offset of the index, sizes of its JSON and of its raw bytes, its xxh3, xxh3 of the footer

Nothing is pickled. The index comes last, so a file that was cut has none.
"""

import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from harness.controlloop.arena import Arena, Layout
from harness.controlloop.codec import decode, encode
from harness.controlloop.snapshot import FORMAT, RestoreFailed, Snapshot
from harness.journal.files import Files

MAGIC = b"harnCKP\n"
VERSION = 1
PAGE = 4096
CHUNK_BYTES = 1 << 20  # fits the second-level cache, so the checksum reads what was just copied from there

_HEAD = struct.Struct("<8sI")
_FOOTER = struct.Struct("<8sQQQQ")
_SUM = struct.Struct("<Q")
_FOOTER_BYTES = _FOOTER.size + _SUM.size


class CheckpointDamaged(RestoreFailed):
    """A checkpoint is not what was written; the live state is as it was."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"the checkpoint {path.name} is damaged at byte {offset}: {reason}")
        self.path, self.offset, self.reason = path, offset, reason

    def __reduce__(self) -> tuple[type["CheckpointDamaged"], tuple[Path, int, str]]:
        return type(self), (self.path, self.offset, self.reason)


class Abandoned(Exception):  # noqa: N818  # it is no error: whoever writes was asked to stop
    """The checkpoint is not wanted any more."""


@dataclass(frozen=True)
class Written:
    """What a commit says about a file. `seal` is the checksum of its index, `state` the hash of its tensors."""

    bytes: int
    seal: str
    state: str


@dataclass(frozen=True)
class Chunk:
    """A piece of a block: where it lies in the file and in the block, and its checksum."""

    block: int
    at: int
    offset: int
    bytes: int
    sum: int


@dataclass(frozen=True)
class Index:
    """What a checkpoint holds besides the bytes of its blocks."""

    path: Path
    run_id: str
    step: int
    epoch: int
    format: int
    toolchain: Mapping[str, str]
    model: str
    chunks: list[Chunk]
    parts: dict[str, Any]


def model_hash(layout: Layout) -> str:
    """The hash of names, places, types and shapes of all tensors: states of the same hash fit into each other."""
    places = [
        [place.name, place.block, place.offset, place.bytes, str(place.dtype), place.shape, place.stride]
        for place in layout.places
    ]
    return xxhash.xxh3_128_hexdigest(json.dumps([layout.sizes, places], separators=(",", ":")).encode())


def views_of(arena: Arena) -> list[memoryview]:
    """The bytes of an arena on the host, one view a block."""
    return [block.numpy().data for block in arena.blocks]


def write(
    path: Path,
    snapshot: Snapshot,
    toolchain: Mapping[str, str],
    *,
    files: Files,
    stop: Callable[[], bool] = lambda: False,
) -> Written:
    """Writes a snapshot, whose arena is on the host, to a new file and brings it to the disk.

    Raises:
        Abandoned: `stop` said so; the file does not stay.
        OSError: the disk is full or gone; the file does not stay.
    """
    blocks = views_of(snapshot.arena)
    starts = _starts([len(block) for block in blocks])
    descriptor = files.create(path, starts[-1])
    try:
        files.write(descriptor, path, _HEAD.pack(MAGIC, VERSION), 0)
        sums, state = _write_blocks(descriptor, path, blocks, starts, files, stop)
        index = _pack_index(snapshot, toolchain, starts, sums)
        files.write(descriptor, path, index, starts[-1])
        files.sync(descriptor, path)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    os.close(descriptor)
    return Written(starts[-1] + len(index), _seal_of(index), state)


def _seal_of(index: bytes) -> str:
    """The index's checksum, the last field of the footer before the footer's own."""
    return index[-2 * _SUM.size : -_SUM.size].hex()


def _starts(sizes: list[int]) -> list[int]:
    """Where each block begins, and where the index does."""
    starts = [PAGE]
    for size in sizes:
        starts.append(starts[-1] + -(-size // PAGE) * PAGE)
    return starts


def _write_blocks(
    descriptor: int,
    path: Path,
    blocks: list[memoryview],
    starts: list[int],
    files: Files,
    stop: Callable[[], bool],
) -> tuple[list[list[int]], str]:
    """The checksums of all chunks, and the hash of the whole state; every call here lets other threads run."""
    whole = xxhash.xxh3_128()
    sums: list[list[int]] = []
    for block, start in zip(blocks, starts, strict=False):
        sums.append([])
        for at in range(0, len(block), CHUNK_BYTES):
            if stop():
                raise Abandoned
            chunk = block[at : at + CHUNK_BYTES]
            sums[-1].append(xxhash.xxh3_64_intdigest(chunk))
            whole.update(chunk)
            files.write(descriptor, path, chunk, start + at)
    return sums, whole.hexdigest()


def _pack_index(snapshot: Snapshot, toolchain: Mapping[str, str], starts: list[int], sums: list[list[int]]) -> bytes:
    sections: list[bytes] = []
    parts = {name: encode(state, sections) for name, state in snapshot.parts.items()}
    layout = snapshot.arena.layout
    fields = {
        "format": snapshot.format,
        "run_id": snapshot.run_id,
        "step": snapshot.step,
        "epoch": snapshot.epoch,
        "toolchain": dict(toolchain),
        "model": model_hash(layout),
        "chunk_bytes": CHUNK_BYTES,
        "blocks": [
            {"offset": start, "bytes": size, "sums": block_sums}
            for start, size, block_sums in zip(starts, layout.sizes, sums, strict=False)
        ],
        "parts": parts,
        "sections": [len(section) for section in sections],
    }
    text = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    raw = b"".join(sections)
    footer = _FOOTER.pack(MAGIC, starts[-1], len(text), len(raw), xxhash.xxh3_64_intdigest(text + raw))
    return text + raw + footer + _SUM.pack(xxhash.xxh3_64_intdigest(footer))


def read_index(path: Path, descriptor: int, *, seal: str | None = None) -> Index:
    """The verified index of a checkpoint; with `seal` it must be the very one that was committed.

    Raises:
        CheckpointDamaged: it was cut, changed, or is another file.
        OSError: it cannot be read.
    """
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, _HEAD.size, 0)
    if len(head) < _HEAD.size or _HEAD.unpack(head) != (MAGIC, VERSION):
        raise CheckpointDamaged(path, 0, f"it does not start as version {VERSION} of a checkpoint does")
    at = size - _FOOTER_BYTES
    footer = os.pread(descriptor, _FOOTER_BYTES, max(0, at))
    fields, check = footer[: _FOOTER.size], footer[_FOOTER.size :]
    if at < PAGE or fields[: len(MAGIC)] != MAGIC or check != _SUM.pack(xxhash.xxh3_64_intdigest(fields)):
        raise CheckpointDamaged(path, max(0, at), "it has no footer: the file was cut or changed")
    _, start, text_bytes, raw_bytes, index_sum = _FOOTER.unpack(fields)
    if seal is not None and _SUM.pack(index_sum).hex() != seal:
        raise CheckpointDamaged(path, at, "it is another file than the one that was committed")
    if start + text_bytes + raw_bytes != at:
        raise CheckpointDamaged(path, at, "the index does not end where the footer begins")
    content = os.pread(descriptor, at - start, start)
    if xxhash.xxh3_64_intdigest(content) != index_sum:
        raise CheckpointDamaged(path, start, "the checksum of the index does not match")
    return _unpack_index(path, content, text_bytes)


def _unpack_index(path: Path, content: bytes, text_bytes: int) -> Index:
    fields = json.loads(content[:text_bytes])
    sections, at = [], text_bytes
    for length in fields["sections"]:
        sections.append(content[at : at + length])
        at += length
    return Index(
        path,
        fields["run_id"],
        fields["step"],
        fields["epoch"],
        fields["format"],
        fields["toolchain"],
        fields["model"],
        [chunk for i, block in enumerate(fields["blocks"]) for chunk in _chunks(i, block, fields["chunk_bytes"])],
        {name: decode(part, sections) for name, part in fields["parts"].items()},
    )


def _chunks(number: int, block: Mapping[str, Any], chunk_bytes: int) -> list[Chunk]:
    return [
        Chunk(number, at, block["offset"] + at, min(chunk_bytes, block["bytes"] - at), sum_)
        for at, sum_ in zip(range(0, block["bytes"], chunk_bytes), block["sums"], strict=True)
    ]


def check_fits(index: Index, layout: Layout) -> None:
    """Refuses a checkpoint of another model or format.

    Raises:
        RestoreFailed: its state would not fit.
    """
    if index.format != FORMAT:
        raise RestoreFailed(f"{index.path.name} has format {index.format}, this program restores format {FORMAT}")
    expected = model_hash(layout)
    if index.model != expected:
        raise RestoreFailed(
            f"{index.path.name} holds a model of layout {index.model}, the live one has {expected}",
            "restore with the model, optimizer and precision that it was trained with",
        )
