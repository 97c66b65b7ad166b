"""Versions of the libraries that matter for a result, read off the names of their metadata folders.

`importlib.metadata` costs 30 ms for the same answer, and importing the libraries themselves seconds.
"""

import os
import re
import sys
from functools import cache

NAMED = (
    "harness",
    "hydra-core",
    "jsonschema",
    "llama-cpp-python",
    "numpy",
    "nvidia-ml-py",
    "omegaconf",
    "psutil",
    "PyYAML",
    "redis",
    "torch",
    "transformers",
    "triton",
    "xllamacpp",
    "xxhash",
)
_FOLDER = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.(dist|egg)-info")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def versions() -> dict[str, str | None]:
    """The installed version of each library named here, None where it is not installed."""
    wanted = {_normal(name): name for name in NAMED}
    found: dict[str, str | None] = dict.fromkeys(NAMED)
    for folder in dict.fromkeys(sys.path):  # the first folder wins, as it does for an import
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in names:
            match = _FOLDER.fullmatch(entry)
            name = wanted.get(_normal(match["name"])) if match else None
            if match and name and found[name] is None:
                found[name] = match["version"]
    return found
