"""What the header of a GGUF file says, read without a library: metadata, weights by type, and the length of the file.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The package `gguf` reads the same in a second of
import; this takes some 50 ms, nearly all of it for the vocabulary.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SMALLEST_ENTRY = 13  # bytes of a key of length 0 with a type and one byte of value: bounds what a broken count can ask
_ALIGNMENT = 32
# type number: name, elements a block holds, bytes of a block (ggml.h and ggml-common.h)
_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


class BrokenFile(ValueError):
    """The file is no GGUF, or not a whole one; the text says which and where it was seen."""


@dataclass(frozen=True)
class Header:
    """The metadata (arrays by their length only), and the weights by type."""

    version: int
    metadata: dict[str, Any]
    lengths: dict[str, int]  # of the arrays in the metadata
    weights: int
    bytes_by_type: dict[str, int] = field(default_factory=dict)
    least_bytes: int = 0  # a whole file is at least this long


def read_header(path: Path) -> Header:
    """The header of the file.

    Raises:
        BrokenFile: it is no GGUF, of a version that is not known, or ends too early.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size < len(_MAGIC) or file.read(len(_MAGIC)) != _MAGIC:
            raise BrokenFile(f"does not begin with {_MAGIC.decode()!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                header = _Reader(content).header()
            except struct.error as error:
                raise BrokenFile(f"ends in its header, after {size} bytes") from error
    if size < header.least_bytes:
        raise BrokenFile(f"is truncated: {size} bytes, and its header speaks of {header.least_bytes}")
    return header


class _Reader:
    """Goes through the bytes once; a read behind their end is a struct.error."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = len(_MAGIC)
        little = struct.unpack_from("<I", content, self._at)[0]
        self._order = "<" if little < 0x10000 else ">"

    def header(self) -> Header:
        version = self._scalar("I")
        if version not in _VERSIONS:
            raise BrokenFile(f"has version {version} of the format; {_VERSIONS[0]} and {_VERSIONS[1]} are known")
        tensors, entries = self._scalar("Q"), self._scalar("Q")
        if (tensors + entries) * _SMALLEST_ENTRY > len(self._content):
            raise BrokenFile(f"is truncated or damaged: {tensors} tensors and {entries} entries cannot be in it")
        metadata: dict[str, Any] = {}
        lengths: dict[str, int] = {}
        for _ in range(entries):
            key, kind = self._text(), self._scalar("I")
            if kind == _ARRAY:
                lengths[key] = self._skip_array()
            else:
                metadata[key] = self._value(kind)
        return self._weigh(Header(version, metadata, lengths, 0), tensors)

    def _weigh(self, header: Header, tensors: int) -> Header:
        weights = data_end = 0
        by_type: dict[str, int] = {}
        for _ in range(tensors):
            self._text()
            elements = 1
            for _ in range(self._scalar("I")):
                elements *= self._scalar("Q")
            kind, offset = self._scalar("I"), self._scalar("Q")
            name, block, block_bytes = _TYPES.get(kind, (f"type {kind}", 1, 0))  # of an unknown one only the offset
            size = elements // block * block_bytes
            weights += elements
            by_type[name] = by_type.get(name, 0) + size
            data_end = max(data_end, offset + size)
        alignment = int(header.metadata.get("general.alignment", _ALIGNMENT)) or _ALIGNMENT
        data_start = -(-self._at // alignment) * alignment
        return Header(header.version, header.metadata, header.lengths, weights, by_type, data_start + data_end)

    def _scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from(self._order + code, self._content, self._at)
        self._at += struct.calcsize("<" + code)
        return value

    def _text(self) -> str:
        length = self._scalar("Q")
        end = self._at + length
        if end > len(self._content):
            raise BrokenFile(
                f"is truncated or damaged: a text of {length} bytes at byte {self._at} goes beyond its end"
            )
        text = self._content[self._at : end].decode("utf-8", "replace")
        self._at = end
        return text

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind not in _SCALARS:
            raise BrokenFile(f"is damaged: a value of type {kind} at byte {self._at}")
        return self._scalar(_SCALARS[kind])

    def _skip_array(self) -> int:
        kind, count = self._scalar("I"), int(self._scalar("Q"))
        if count > len(self._content):
            raise BrokenFile(f"is truncated or damaged: an array of {count} at byte {self._at}")
        if kind == _STRING:
            self._skip_texts(count)
        elif kind == _ARRAY:
            for _ in range(count):
                self._skip_array()
        elif kind in _SCALARS:
            self._at += count * struct.calcsize("<" + _SCALARS[kind])
        else:
            raise BrokenFile(f"is damaged: an array of type {kind} at byte {self._at}")
        return count

    def _skip_texts(self, count: int) -> None:
        unpack: Callable[..., tuple[Any, ...]] = struct.Struct(self._order + "Q").unpack_from
        at = self._at
        for _ in range(count):
            at += 8 + unpack(self._content, at)[0]
        self._at = at
