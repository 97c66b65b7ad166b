"""Ten runs of one user at once, each in a process of its own: none loses anything to another."""

import json
from collections import Counter

import pytest

from harness.results.index import Index
from tests.command_line import CommandLine

pytestmark = pytest.mark.faults

RUNS = 10


def test_ten_runs_at_once_with_a_shared_lock_do_not_clash(user: CommandLine) -> None:
    running = [user.start(*user.words("scenario=steady", "measure.iterations=200")) for _ in range(RUNS)]
    said = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0] * RUNS, said
    folders = user.folders()
    results = [json.loads((folder / "result.json").read_bytes()) for folder in folders]
    assert len({result["run_id"] for result in results}) == RUNS
    assert Counter(result["iterations"]["completed"] for result in results) == {200: RUNS}
    assert all(result["contended"] for result in results)
    lines = (user.outputs / "summary.csv").read_text().splitlines()
    assert len(lines) == 1 + RUNS
    index = Index(user.outputs)
    assert {row["run_id"] for row in index.find()} == {folder.name for folder in folders}
    index.close()
    done = user.verb("verify", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((user.outputs / "active").iterdir())
    user.await_no_survivors()
