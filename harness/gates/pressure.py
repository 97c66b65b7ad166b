"""How busy the host was with other work, as a run saw it; apart, so that what only reads need not load the judge."""

from collections.abc import Mapping
from typing import Any

PRESSURE_LIMIT_PERCENT = 25.0  # of the time; beyond, the host disturbs more than most effects that one wants to see
_PRESSURE = "host.pressure_cpu_percent"


def pressure_percent(document: Mapping[str, Any]) -> float | None:
    """The share of time in which some task waited for a CPU of the host, mean over the run; None where unavailable."""
    found = document["telemetry"].get("sensors", {}).get(_PRESSURE, {}).get("value")
    return float(found) if isinstance(found, int | float) else None
