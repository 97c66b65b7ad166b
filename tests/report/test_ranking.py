from typing import Any

from harness.report.ranking import NOTE, ranking_table
from tests.results.documents import a_result

Job = tuple[list[str], dict[str, Any]]


def job(setting: str, values: list[float], metric: str = "other.rate", **run: Any) -> Job:
    return ["experiment=x", setting], a_result(run, {metric: values})


def rows(*jobs: Job) -> list[tuple[str, str]]:
    """Place and setting of each row."""
    lines = ranking_table(jobs, "pipe").splitlines()[2:-1]
    return [(cells[1].strip(), cells[2].strip()) for cells in (line.split("|") for line in lines)]


def test_the_best_comes_first_and_what_cannot_be_told_apart_shares_its_place() -> None:
    slow, fast = job("threads=1", [10.0, 10.1, 10.2]), job("threads=4", [30.0, 30.2, 30.1])
    even, other = job("threads=2", [20.0, 22.0, 21.0]), job("threads=3", [20.5, 21.5, 21.2])
    assert rows(slow, even, fast, other) == [
        ("1", "threads=4"), ("2", "threads=3"), ("2", "threads=2"), ("4", "threads=1"),
    ]  # fmt: skip


def test_lower_is_first_where_lower_is_better() -> None:
    jobs = [job(f"batch={n}", [n * 10.0, n * 10.0 + 1], "step.latency_ms") for n in (3, 1, 2)]
    assert [setting for _, setting in rows(*jobs)] == ["batch=1", "batch=2", "batch=3"]


def test_a_setting_without_an_interval_ties_with_all() -> None:
    assert [place for place, _ in rows(job("a=1", [10.0]), job("a=2", [90.0, 91.0, 90.5]))] == ["1", "1"]


def test_a_failed_setting_has_no_place() -> None:
    broken = job("a=3", [1.0, 2.0], status="failed")
    assert len(rows(job("a=1", [10.0, 11.0]), job("a=2", [20.0, 21.0]), broken)) == 2


def test_a_suite_of_different_scenarios_is_not_ranked() -> None:
    assert ranking_table([job("a", [1.0]), job("b", [2.0], scenario="other")], "simple") == ""
    assert ranking_table([job("a", [1.0])], "simple") == ""


def test_the_limits_of_the_ranking_are_said() -> None:
    assert ranking_table([job("a=1", [1.0, 2.0]), job("a=2", [3.0, 4.0])], "simple").endswith(NOTE)
