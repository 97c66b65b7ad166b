"""Making a policy do what an expert did: the training that cloning and fine-tuning share."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from harness.scenarios.imitation.policy import Policy


def imitate(
    policy: Policy, observations: Tensor, actions: Tensor, *, epochs: int, batch_size: int, learning_rate: float
) -> Iterator[float]:
    """Trains pass by pass on observations `(rows, 4)` and the expert's pushes `(rows,)`; each pass's mean loss."""
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    for _ in range(epochs):
        total = 0.0
        for rows in torch.split(torch.randperm(len(actions)), batch_size):
            loss = cross_entropy(policy(observations[rows]), actions[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch's stubs
            optimizer.step()
            total += loss.item() * len(rows)
        yield total / len(actions)
