from typing import Any

from harness.results import baseline
from harness.results.arms import Arm
from harness.results.differences import differences, obstacles, undeclared
from tests.results.documents import a_result
from tests.results.made_arms import an_arm, steady

HERE = {
    "hostname": "bench-1",
    "cpu": {"model": "abc", "cores": 2},
    "memory_mb": 8100,
    "machine": "x86_64",
    "python": {"version": "3.11.7"},
    "libraries": {"torch": "2.12.0", "numpy": "2.1"},
    "git": {"commit": "aaa", "dirty": False},
    "fingerprint": "f1",
}


def keys(found: list[dict[str, Any]]) -> list[str]:
    return [each["key"] for each in found]


def test_commit_libraries_and_knobs_that_differ_are_named() -> None:
    there = {**HERE, "git": {"commit": "bbb", "dirty": True}, "libraries": {"torch": "2.13.0", "numpy": "2.1"}}
    base, candidate = an_arm("a", [1.0], environment=HERE), an_arm("b", [1.0], environment=there)
    found = differences(base, candidate, ["libraries.torch"])
    assert keys(found) == ["libraries.torch", "commit", "commit.dirty"]
    assert [each["declared"] for each in found] == [True, False, False]
    assert (found[1]["base"], found[1]["candidate"]) == ("aaa", "bbb")
    assert undeclared(["libraries.torch", "seed"], found) == ["seed"]


def test_runs_of_one_arm_that_differ_among_themselves_show_all_values() -> None:
    first, second = a_result({"model": "x"}), a_result({"model": "y"})
    mixed = Arm("m", [first, second], ["m-0", "m-1"])
    (found,) = differences(mixed, an_arm("b", [1.0], run={"model": "x"}), [])
    assert (found["key"], found["base"], found["candidate"]) == ("model", "x | y", "x")


def test_another_device_of_one_host_compares_where_the_device_is_the_factor() -> None:
    base = an_arm("a", *steady(1.0), environment=HERE)
    other = an_arm("b", *steady(1.0), run={"device": "cuda"}, environment={**HERE, "fingerprint": "f2"})
    assert "different hosts or devices" in obstacles(base, other, [])[0]
    assert obstacles(base, other, ["device"]) == []
    elsewhere = an_arm("c", *steady(1.0), environment={**HERE, "fingerprint": "f3", "hostname": "bench-2"})
    assert obstacles(base, elsewhere, ["device"]) != []


def test_a_baseline_is_compared_by_the_digest_of_its_configuration() -> None:
    result = a_result({"config": {"scenario": {"epochs": 9}}})
    stored = Arm("baseline", [baseline.build(result)], [result["run_id"]], True)
    found = differences(stored, an_arm("b", [1.0]), [])
    assert keys(found) == ["config_digest"]
    assert obstacles(stored, an_arm("b", [1.0]), []) == []
