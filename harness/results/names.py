"""Names of runs and of their files, safe in every file system."""

import re
from datetime import UTC, datetime

from harness.results.times import FORMAT

_STAMPED = re.compile(r"(\d{8}T\d{6}Z)-")


def new_run_id(scenario: str) -> str:
    """An id that sorts by time, names the scenario, and is unique: `20261122T101500Z-rollback-1f09ab`."""
    import secrets  # late: it brings hashes, which reading verbs do without

    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{safe(scenario)}-{secrets.token_hex(3)}"


def named_at(run_id: str) -> str | None:
    """When the id was given, as documents hold times, to the second; None where it is none of ours.

    It is known also where the document under that name cannot be read.
    """
    stamp = _STAMPED.match(run_id)
    try:
        return datetime.fromisoformat(stamp[1]).strftime(FORMAT) if stamp else None
    except ValueError:
        return None


def metrics_name(scenario: str) -> str:
    """The file name of a scenario's short document."""
    return f"{safe(scenario)}_metrics.json"


def safe(name: str) -> str:
    """The name with what a file name should not hold replaced."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "-" for c in name) or "unnamed"
