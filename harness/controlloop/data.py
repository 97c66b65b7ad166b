"""What a training learns from: synthetic vectors, or real text that every machine with Python already has."""

import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import torch
from torch import Tensor

from harness.errors import ConfigError, Problem
from harness.ranges import Range

BYTE_VALUES = 256


@dataclass(frozen=True)
class Spec:
    """What a model must know about its data: numbers of a vector or bytes of context, and the classes to tell apart."""

    kind: Literal["vectors", "bytes"]
    width: int
    classes: int


class Dataset(Protocol):
    """Rows in memory that a batch is gathered from; the last `held_out` rows are never trained on."""

    spec: Spec
    rows: int
    held_out: int
    source: dict[str, Any]

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and the targets of the rows named by `index`; targets are `(rows, positions)`."""


class Source(Protocol):
    """Where a dataset comes from: an option of the group `data`, built but not yet loaded."""

    def load(self, seed: int) -> Dataset:
        """The rows, for this seed where they are drawn."""


def held_out_rows(dataset: Dataset) -> Tensor:
    """The index of the rows that accuracy is measured on."""
    return torch.arange(dataset.rows - dataset.held_out, dataset.rows)


class Vectors:
    """Labelled vectors: one target a row."""

    def __init__(self, inputs: Tensor, targets: Tensor, *, classes: int, held_out: int) -> None:
        self.spec = Spec("vectors", inputs.shape[1], classes)
        self.rows, self.held_out = inputs.shape[0], held_out
        self._inputs, self._targets = inputs, targets.unsqueeze(1)
        digest = hashlib.sha256(inputs.numpy().tobytes() + targets.numpy().tobytes()).hexdigest()
        self.source = {"name": "synthetic", "rows": self.rows, "bytes": inputs.nbytes, "sha256": digest}

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors and their labels."""
        return self._inputs[index], self._targets[index]


class Text:
    """Overlapping windows over a text; the target of each byte is the next one."""

    def __init__(self, corpus: bytes, *, context: int, stride: int, held_out: int, files: int) -> None:
        self.spec = Spec("bytes", context, BYTE_VALUES)
        self._windows = torch.frombuffer(bytearray(corpus), dtype=torch.uint8).unfold(0, context + 1, stride)
        self.rows, self.held_out = self._windows.shape[0], held_out
        self.source = {
            "name": "Python standard library",
            "files": files,
            "rows": self.rows,
            "bytes": len(corpus),
            "sha256": hashlib.sha256(corpus).hexdigest(),
        }

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The windows without their last byte, and without their first."""
        windows = self._windows[index].long()
        return windows[:, :-1], windows[:, 1:]


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Vectors drawn from a seed and labelled by a random linear teacher, so that a linear model can learn them."""

    rows: Annotated[int, Range(min=1)]
    features: Annotated[int, Range(min=1)]
    classes: Annotated[int, Range(min=2)]
    noise: Annotated[float, Range(min=0)]
    held_out: Annotated[int, Range(min=1)]

    def load(self, seed: int) -> Dataset:
        """The same rows for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(self.rows, self.features, generator=generator)
        teacher = torch.randn(self.features, self.classes, generator=generator)
        scores = inputs @ teacher
        scores += self.noise * torch.randn(scores.shape, generator=generator)
        _check_held_out(self.held_out, self.rows)
        return Vectors(inputs, scores.argmax(1), classes=self.classes, held_out=self.held_out)


@dataclass(frozen=True, kw_only=True)
class StdlibText:
    """The first `budget_kb` of the running Python's own sources: real text, nothing is downloaded."""

    budget_kb: Annotated[int, Range(min=8)]
    context: Annotated[int, Range(min=1)]
    stride: Annotated[int, Range(min=1)]
    held_out: Annotated[int, Range(min=1)]

    def load(self, seed: int) -> Dataset:
        """The same bytes for the same Python, whatever the seed; the digest says which.

        Raises:
            ConfigError: this Python has no sources on disk, or fewer than the budget.
        """
        del seed  # the text is real: the seed decides the order of its windows, not their content
        corpus, files = bytearray(), 0
        for path in _stdlib_sources():
            corpus += path.read_bytes()
            files += 1
            if len(corpus) >= self.budget_kb * 1024:
                break
        if len(corpus) < self.budget_kb * 1024:
            present = f"the {len(corpus) // 1024} KB of sources in {sysconfig.get_paths()['stdlib']}"
            raise ConfigError(
                [
                    Problem(
                        "data.budget_kb",
                        f"should be at most {present}, found {self.budget_kb}",
                        "lower it, install the sources of this Python, or use data=synthetic model=linear",
                    )
                ]
            )
        text = Text(
            bytes(corpus[: self.budget_kb * 1024]),
            context=self.context,
            stride=self.stride,
            held_out=self.held_out,
            files=files,
        )
        _check_held_out(self.held_out, text.rows)
        return text


def _stdlib_sources() -> Iterator[Path]:
    """Every source file of the standard library by sorted path; installed packages are not part of it."""
    yield from _sources_below(Path(sysconfig.get_paths()["stdlib"]))


def _sources_below(folder: Path) -> Iterator[Path]:
    """Folder by folder, so that whoever needs a few files does not wait for a listing of all."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py":
            yield path
        elif path.is_dir() and path.name not in ("site-packages", "dist-packages"):
            yield from _sources_below(path)


def _check_held_out(held_out: int, rows: int) -> None:
    if held_out >= rows:
        message = f"should leave rows to train on, of which there are {rows} in all, found {held_out}"
        raise ConfigError([Problem("data.held_out", message, "lower it, or make the data larger")])
