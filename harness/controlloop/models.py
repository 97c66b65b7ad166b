"""The models under training, from one matrix to a small transformer.

Each factory takes the spec of the data and its own knobs. A model gives logits `(rows, positions, classes)` for the
last `positions` targets of a row, so one loss fits them all.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.controlloop.data import BYTE_VALUES, Spec
from harness.errors import ConfigError, Problem
from harness.ranges import Range


class OneHot(nn.Module):
    """Bytes as indicator vectors, laid side by side: what a linear model can read."""

    def forward(self, inputs: Tensor) -> Tensor:
        """`(rows, context)` bytes become `(rows, context * 256)` numbers."""
        return functional.one_hot(inputs, BYTE_VALUES).flatten(1).float()


class Single(nn.Module):
    """Gives a network that predicts one target a row its position axis."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits for the last position only."""
        logits: Tensor = self.network(inputs)
        return logits.unsqueeze(1)


def linear(spec: Spec) -> nn.Module:
    """One matrix: logistic regression over the vector, or over the one-hot bytes of the context."""
    if spec.kind == "vectors":
        return Single(nn.Linear(spec.width, spec.classes))
    return Single(nn.Sequential(OneHot(), nn.Linear(spec.width * BYTE_VALUES, spec.classes)))


def mlp(
    spec: Spec,
    *,
    embedding: Annotated[int, Range(min=1)],
    hidden: Annotated[int, Range(min=1)],
    layers: Annotated[int, Range(min=1)],
    norm: Literal["batch", "layer", "none"],
    dropout: Annotated[float, Range(min=0, below=1)],
) -> nn.Module:
    """A byte model in the manner of Bengio: embedded context, hidden layers, next byte. Vectors skip the embedding."""
    parts: list[nn.Module] = []
    width = spec.width
    if spec.kind == "bytes":
        parts += [nn.Embedding(BYTE_VALUES, embedding), nn.Flatten(1)]
        width *= embedding
    for _ in range(layers):
        parts += [nn.Linear(width, hidden), *_norm(norm, hidden), nn.GELU(), nn.Dropout(dropout)]
        width = hidden
    return Single(nn.Sequential(*parts, nn.Linear(width, spec.classes)))


def _norm(kind: str, width: int) -> list[nn.Module]:
    layers = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    return [layers[kind](width)] if kind in layers else []


class Block(nn.Module):
    """Causal self-attention and a feed-forward part, each added to what came in.

    Dropout is on what is added, not on the attention weights: there torch leaves its fast kernel, and the step doubles.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections = nn.Linear(width, 3 * width)
        self.output = nn.Sequential(nn.Linear(width, width), nn.Dropout(dropout))
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Every position sees itself and what came before."""
        x = x + self.output(self._attend(self.projections(self.before_attention(x))))
        fed: Tensor = x + self.feed(self.before_feed(x))
        return fed

    def _attend(self, projected: Tensor) -> Tensor:
        rows, length, _ = projected.shape
        query, key, value = projected.view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).reshape(rows, length, -1)


class ByteTransformer(nn.Module):
    """Predicts the next byte at every position of the context."""

    def __init__(self, spec: Spec, *, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(BYTE_VALUES, width), nn.Embedding(spec.width, width)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, spec.classes)
        self.register_buffer("positions", torch.arange(spec.width), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits for all positions."""
        x = self.bytes(inputs) + self.places(self.positions)
        logits: Tensor = self.head(self.norm(self.blocks(x)))
        return logits


def transformer(
    spec: Spec,
    *,
    width: Annotated[int, Range(min=1)],
    layers: Annotated[int, Range(min=1)],
    heads: Annotated[int, Range(min=1)],
    dropout: Annotated[float, Range(min=0, below=1)],
) -> nn.Module:
    """A small causal transformer over bytes.

    Raises:
        ConfigError: the data are vectors, or the width cannot be split among the heads.
    """
    if spec.kind != "bytes":
        raise ConfigError(
            [Problem("model", "a transformer reads bytes, and the data are vectors", "use data=stdlib_text")]
        )
    if width % heads:
        message = f"should be a multiple of model.heads = {heads}, found {width}"
        raise ConfigError([Problem("model.width", message, "for example model.width=64")])
    return ByteTransformer(spec, width=width, layers=layers, heads=heads, dropout=dropout)
