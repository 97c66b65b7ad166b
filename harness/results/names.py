"""Names of runs and of their files, safe in every file system."""

from datetime import UTC, datetime


def new_run_id(scenario: str) -> str:
    """An id that sorts by time, names the scenario, and is unique: `20261122T101500Z-rollback-1f09ab`."""
    import secrets  # late: it brings hashes, which reading verbs do without

    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{safe(scenario)}-{secrets.token_hex(3)}"


def metrics_name(scenario: str) -> str:
    """The file name of a scenario's short document."""
    return f"{safe(scenario)}_metrics.json"


def safe(name: str) -> str:
    """The name with what a file name should not hold replaced."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "-" for c in name) or "unnamed"
