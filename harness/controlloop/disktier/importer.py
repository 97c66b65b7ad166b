"""Reads what torch.save has written, for starting from a model of elsewhere; restores never come this way.

Such files are pickles. Only tensors and plain containers are let through, never code.
"""

from pathlib import Path
from typing import Any

import torch

from harness.errors import BenchmarkFailed


def import_torch(path: Path) -> Any:
    """What a file of torch.save holds, with all tensors on the CPU.

    Raises:
        BenchmarkFailed: the file holds something else than tensors and plain containers, or is not such a file.
        OSError: it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises a pickling, a value or a runtime error, as it likes
        raise BenchmarkFailed(
            f"{path} cannot be imported: {type(error).__name__}: {str(error).splitlines()[0]}",
            "save the state_dict alone: torch.save(model.state_dict(), path)",
        ) from error
