import csv
import io

from harness.report.csv import COLUMNS, metrics_csv
from tests.results.documents import a_result


def test_every_metric_is_a_row_in_the_same_columns() -> None:
    documents = [a_result(), a_result({"run_id": "b"}, {"other.rate": [1.0], "step.late_total": [2.0, 3.0]})]
    rows = list(csv.DictReader(io.StringIO(metrics_csv(documents))))
    assert [(row["run_id"][-1:], row["metric"], row["n"]) for row in rows] == [
        ("b", "step.latency_ms", "10"),
        ("b", "other.rate", "1"),
        ("b", "step.late_total", "2"),
    ]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert (rows[0]["mean"], rows[1]["std"], rows[1]["mean_low"]) == ("12.075", "", "")


def test_no_documents_are_a_heading() -> None:
    assert metrics_csv([]) == ",".join(COLUMNS) + "\n"
