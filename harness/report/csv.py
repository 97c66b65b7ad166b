"""The statistics of runs as CSV: a row a metric, in the same columns whatever was measured."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from harness.measure.stats import STATISTICS

COLUMNS = (
    "run_id",
    "scenario",
    "device",
    "model",
    "metric",
    "unit",
    "better",
    *STATISTICS,
    "mean_low",
    "mean_high",
    "plus_minus",
)


def metrics_csv(documents: Iterable[Mapping[str, Any]]) -> str:
    """All statistics of these result documents; empty where there is no value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for document in documents:
        for name, metric in document["metrics"].items():
            statistics = metric["statistics"]
            low, high = statistics["ci"]["mean"]
            writer.writerow(
                {
                    **{key: document[key] for key in ("run_id", "scenario", "device", "model")},
                    **{"metric": name, "unit": metric["unit"], "better": metric["better"]},
                    **{stat: statistics[stat] for stat in STATISTICS},
                    **{"mean_low": low, "mean_high": high},
                    "plus_minus": metric.get("error", {}).get("plus_minus"),  # of the instrument
                }
            )
    return text.getvalue()
