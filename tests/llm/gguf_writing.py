"""Small GGUF files made by hand: whole ones, and broken in chosen ways."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STRING, UINT32, ARRAY = 8, 4, 9


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(content: Any) -> bytes:
    if isinstance(content, str):
        return struct.pack("<I", STRING) + text(content)
    if isinstance(content, list):
        return struct.pack("<IIQ", ARRAY, STRING, len(content)) + b"".join(map(text, content))
    return struct.pack("<II", UINT32, content)


def gguf(metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, int]] | None = None, version: int = 3) -> bytes:
    """A whole file; a tensor is (type number, elements), and its data are zeros."""
    sizes = {0: (1, 4), 1: (1, 2), 3: (32, 20), 99: (1, 0)}
    tensors = tensors or {}
    data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    data += b"".join(text(key) + value(content) for key, content in metadata.items())
    offset = 0
    for name, (kind, elements) in tensors.items():
        data += text(name) + struct.pack("<IQIQ", 1, elements, kind, offset)
        block, block_bytes = sizes[kind]
        offset += -(-elements // block * block_bytes // 32) * 32
    data += bytes(-len(data) % 32)
    return data + bytes(offset)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
