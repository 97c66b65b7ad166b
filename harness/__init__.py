"""A declarative performance harness: YAML describes a benchmark, one engine runs it and gives a verdict."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Run", "load", "run", "runs"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: a reading verb pays nothing for them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("harness.api"), name)
