"""Which work a run did: the part of its configuration that decides how long it takes."""

from collections.abc import Mapping
from typing import Any

from harness.results.canonical import digest

# Keys that change what becomes of the numbers, or what runs beside the work, and not the work itself.
IRRELEVANT = frozenset(
    {
        "tags",
        "strict",
        "threshold",
        "suite",
        "suite_timeout_s",
        "experiment",
        "lock",
        "telemetry",
        "metrics",
        "recommend",
    }
)


def work_digest(config: Mapping[str, Any]) -> str:
    """The sha256 that two runs must share for one to tell how long the other takes, or how fast it should be."""
    return digest({key: value for key, value in config.items() if key not in IRRELEVANT})
