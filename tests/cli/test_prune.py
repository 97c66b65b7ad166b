import json

import pytest

from harness.cli.baseline import main as baseline
from harness.cli.prune import main
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.results.documents import a_stored_run


def test_old_runs_go_and_the_newest_twenty_and_baselines_stay(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [a_stored_run(store, f"s{number:02}")[1]["run_id"] for number in range(23)]
    baseline(["save", ids[0]])
    capsys.readouterr()
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == [], "they are younger than 90 days"
    assert main(["--days", "0", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"{ids[1]}: would go\n{ids[2]}: would go\n20 as old stay: one of the newest 20\n" in out
    assert len(list(store.runs.iterdir())) == 23
    assert main(["--days", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["removed"] == ids[1:3]
    assert found["kept"][ids[0]] == "a baseline"
    assert {row["run_id"] for row in store.index.find()} == {ids[0], *ids[3:]}


@pytest.mark.parametrize(("option", "message"), [("--keep=3", "from 20"), ("--days=soon", "a number of days")])
def test_fewer_than_the_newest_twenty_cannot_be_kept(
    option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([option])
    assert message in capsys.readouterr().err
