"""Each test gets the generators and thread count as they were."""

import random
from collections.abc import Iterator

import numpy
import pytest
import torch


@pytest.fixture(autouse=True)
def same_generators() -> Iterator[None]:
    """Seeds for the test, and everything back afterwards."""
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state(), torch.get_num_threads()
    torch.manual_seed(0)
    random.seed(0)
    numpy.random.seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_rng_state(before[0])
    random.setstate(before[1])
    numpy.random.set_state(before[2])
    torch.set_num_threads(before[3])
