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
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from harness.controlloop.arena import Arena, Layout
from harness.controlloop.disktier.codec import decode, encode
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
_SAID = ("run_id", "step", "epoch", "format", "toolchain", "model", "chunk_bytes")  # of an index, as it is in its JSON


class CheckpointDamaged(RestoreFailed):
    """A checkpoint is not what was written; the live state is as it was."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"the checkpoint {path.name} is damaged at byte {offset}: {reason}")
        self.path, self.offset, self.reason = path, offset, reason

    def __reduce__(self) -> tuple[type["CheckpointDamaged"], tuple[Path, int, str]]:
        return type(self), (self.path, self.offset, self.reason)


class Abandoned(Exception):  # it is no error: whoever writes was asked to stop
    """The checkpoint is not wanted any more."""


@dataclass(frozen=True)
class Written:
    """What a commit says about a file. `seal` is the checksum of its index, `state` the hash of its tensors."""

    bytes: int
    seal: str
    state: str


class Chunk(NamedTuple):
    """A piece of a block: where it lies there, and in the file."""

    block: int
    at: int
    bytes: int
    offset: int


@dataclass(frozen=True)
class Index:
    """What a checkpoint holds besides the bytes of its blocks; `sums` are the checksums of its chunks in order."""

    path: Path
    run_id: str
    step: int
    epoch: int
    format: int
    toolchain: Mapping[str, str]
    model: str
    chunk_bytes: int
    sums: Sequence[int]
    encoded_parts: Mapping[str, Any]
    sections: list[bytes]

    def parts(self) -> dict[str, Any]:
        """What the parts of a training gave as their states."""
        return {name: decode(part, self.sections) for name, part in self.encoded_parts.items()}


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
    start = _starts([len(block) for block in blocks])[-1]
    descriptor = files.create(path, start)
    try:
        files.write(descriptor, path, _HEAD.pack(MAGIC, VERSION), 0)
        sums, state = _write_blocks(descriptor, path, blocks, files, stop)
        index = _pack_index(snapshot, toolchain, start, sums)
        files.write(descriptor, path, index, start)
        files.sync(descriptor, path)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    os.close(descriptor)
    return Written(start + len(index), _seal_of(index), state)


def _seal_of(index: bytes) -> str:
    """The index's checksum, the last field of the footer before the footer's own."""
    return index[-2 * _SUM.size : -_SUM.size].hex()


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each block begins, and where the index does."""
    starts = [PAGE]
    for size in sizes:
        starts.append(starts[-1] + -(-size // PAGE) * PAGE)
    return starts


def chunks_of(sizes: Sequence[int], chunk_bytes: int = CHUNK_BYTES) -> list[Chunk]:
    """The chunks of blocks of these sizes, in the order of their checksums."""
    return [
        Chunk(number, at, min(chunk_bytes, size - at), start + at)
        for number, (size, start) in enumerate(zip(sizes, _starts(sizes), strict=False))
        for at in range(0, size, chunk_bytes)
    ]


def _write_blocks(
    descriptor: int, path: Path, blocks: list[memoryview], files: Files, stop: Callable[[], bool]
) -> "tuple[array[int], str]":
    """The checksums of all chunks, and the hash of the whole state; every call here lets other threads run."""
    whole = xxhash.xxh3_128()
    sums = array("Q")
    for chunk in chunks_of([len(block) for block in blocks]):
        if stop():
            raise Abandoned
        content = blocks[chunk.block][chunk.at : chunk.at + chunk.bytes]
        sums.append(xxhash.xxh3_64_intdigest(content))
        whole.update(content)
        files.write(descriptor, path, content, chunk.offset)
    return sums, whole.hexdigest()


def _pack_index(snapshot: Snapshot, toolchain: Mapping[str, str], start: int, sums: "array[int]") -> bytes:
    sections = [_little_endian(sums).tobytes()]
    fields = {
        "format": snapshot.format,
        "run_id": snapshot.run_id,
        "step": snapshot.step,
        "epoch": snapshot.epoch,
        "toolchain": dict(toolchain),
        "model": model_hash(snapshot.arena.layout),
        "chunk_bytes": CHUNK_BYTES,
        "parts": {name: encode(state, sections) for name, state in snapshot.parts.items()},
        "sections": [len(section) for section in sections],
    }
    text = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    raw = b"".join(sections)
    footer = _FOOTER.pack(MAGIC, start, len(text), len(raw), xxhash.xxh3_64_intdigest(text + raw))
    return text + raw + footer + _SUM.pack(xxhash.xxh3_64_intdigest(footer))


def _little_endian(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


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
    sums = array("Q", sections[0])
    return Index(
        path=path,
        **{name: fields[name] for name in _SAID},
        sums=_little_endian(sums),
        encoded_parts=fields["parts"],
        sections=sections,
    )


def check_fits(index: Index, model: str) -> None:
    """Refuses a checkpoint of another model or format; `model` is the hash of the live one.

    Raises:
        RestoreFailed: its state would not fit.
    """
    if index.format != FORMAT:
        raise RestoreFailed(f"{index.path.name} has format {index.format}, this program restores format {FORMAT}")
    if index.model != model:
        raise RestoreFailed(
            f"{index.path.name} holds a model of layout {index.model}, the live one has {model}",
            "restore with the model, optimizer and precision that it was trained with",
        )
