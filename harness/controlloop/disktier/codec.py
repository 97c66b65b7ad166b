"""Values of snapshot parts as JSON and raw bytes, and back with their exact types and bits; nothing is executed."""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from harness.controlloop.batches import Position
from harness.controlloop.rng import NumpyState
from harness.errors import BenchmarkFailed

# Named tuples that parts use; a name that is not here cannot be read, so no file chooses what is built.
_RECORDS: dict[str, type[Any]] = {"Position": Position, "NumpyState": NumpyState}

_MANY = 32  # from here on a tuple of integers, as the state of a random generator is one, is kept as bytes


def encode(value: Any, sections: list[bytes]) -> Any:
    """The value as JSON; what is binary is appended to `sections`, of which the JSON names the positions.

    Raises:
        BenchmarkFailed: the value holds something that a file cannot keep.
    """
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, list | tuple | dict):
        return _encode_container(value, sections)
    return _encode_binary(value, sections)


def _encode_container(value: list[Any] | tuple[Any, ...] | dict[Any, Any], sections: list[bytes]) -> Any:
    if isinstance(value, dict):
        return {"dict": [[encode(key, sections), encode(below, sections)] for key, below in value.items()]}
    if type(value) is tuple and len(value) >= _MANY and _are_small_integers(value):
        sections.append(struct.pack(f"<{len(value)}q", *value))
        return {"integers": len(sections) - 1}
    inner = [encode(below, sections) for below in value]
    if isinstance(value, list):
        return inner
    if type(value) is tuple:
        return {"tuple": inner}
    if _RECORDS.get(type(value).__name__) is not type(value):
        raise _refusal(value)
    return {"record": type(value).__name__, "values": inner}


def _are_small_integers(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and -(2**63) <= value < 2**63 for value in values)


def _encode_binary(value: Any, sections: list[bytes]) -> Any:
    if isinstance(value, bytes):
        sections.append(value)
        return {"bytes": len(sections) - 1}
    if isinstance(value, Tensor):
        sections.append(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return {"tensor": len(sections) - 1, "dtype": str(value.dtype)[6:], "shape": list(value.shape)}
    if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        sections.append(value.tobytes())
        return {"array": len(sections) - 1, "dtype": value.dtype.str, "shape": list(value.shape)}
    raise _refusal(value)


def _refusal(value: Any) -> BenchmarkFailed:
    return BenchmarkFailed(
        f"a snapshot part holds a {type(value).__name__}, which a checkpoint cannot keep",
        "give numbers, text, bytes, lists, tuples, dictionaries, tensors or arrays",
    )


def decode(encoded: Any, sections: Sequence[bytes]) -> Any:
    """The value that was encoded.

    Raises:
        ValueError, KeyError, TypeError, IndexError: this was not written by `encode`.
    """
    if isinstance(encoded, list):
        return [decode(below, sections) for below in encoded]
    if not isinstance(encoded, dict):
        return encoded
    tag = next(iter(encoded))
    return _DECODERS[tag](encoded, sections)


def _dict(encoded: Any, sections: Sequence[bytes]) -> dict[Any, Any]:
    return {decode(key, sections): decode(below, sections) for key, below in encoded["dict"]}


def _integers(encoded: Any, sections: Sequence[bytes]) -> tuple[int, ...]:
    content = sections[encoded["integers"]]
    return struct.unpack(f"<{len(content) // 8}q", content)


def _record(encoded: Any, sections: Sequence[bytes]) -> Any:
    return _RECORDS[encoded["record"]](*(decode(below, sections) for below in encoded["values"]))


def _tensor(encoded: Any, sections: Sequence[bytes]) -> Tensor:
    dtype = getattr(torch, encoded["dtype"])
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{encoded['dtype']!r} is no type of a tensor")
    content = bytearray(sections[encoded["tensor"]])
    flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    return flat.view(encoded["shape"])


def _array(encoded: Any, sections: Sequence[bytes]) -> Any:
    flat = numpy.frombuffer(bytearray(sections[encoded["array"]]), dtype=numpy.dtype(encoded["dtype"]))
    return flat.reshape(encoded["shape"])


_DECODERS: dict[str, Callable[[Any, Sequence[bytes]], Any]] = {
    "float": lambda encoded, sections: float(encoded["float"]),
    "dict": _dict,
    "tuple": lambda encoded, sections: tuple(decode(below, sections) for below in encoded["tuple"]),
    "integers": _integers,
    "record": _record,
    "bytes": lambda encoded, sections: bytes(sections[encoded["bytes"]]),
    "tensor": _tensor,
    "array": _array,
}
