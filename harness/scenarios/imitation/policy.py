"""The policy that learns: a small network from what is observed to the chance of each push, kept as a file."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.controlloop.disktier.importer import import_torch

POLICY = "policy.pt"
OBSERVED, PUSHES = 4, 2


class Policy(nn.Module):
    """Two hidden layers; its outputs are the logits of the pushes."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.layers = nn.Sequential(
            nn.Linear(OBSERVED, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, PUSHES)
        )

    def forward(self, observations: Tensor) -> Tensor:
        """The logits, `(rows, pushes)` for observations `(rows, 4)`."""
        return self.layers(observations)  # type: ignore[no-any-return]

    def act(self, observation: Any) -> int:
        """The likelier push."""
        with torch.no_grad():
            return int(self(torch.as_tensor(observation, dtype=torch.float32)).argmax())


def save(policy: Policy, folder: Path) -> None:
    """Writes the policy into the folder."""
    torch.save({"hidden": policy.hidden, "state": policy.state_dict()}, folder / POLICY)


def load(folder: Path) -> Policy:
    """The policy that a step has left in its folder; only tensors and numbers are read, no code."""
    kept = import_torch(folder / POLICY)
    policy = Policy(kept["hidden"])
    policy.load_state_dict(kept["state"])
    return policy
