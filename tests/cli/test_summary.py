import json

import pytest

from harness.cli.summary import main
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.results.documents import a_stored_run


def test_the_summary_counts_what_matches(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    a_stored_run(store)
    a_stored_run(store, "prefetch", run={"status": "failed", "reason": {"kind": "error", "message": "x"}})
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "status: 1 completed, 1 failed; verdict: 2 none" in out
    assert "to look at: 1 failed or crashed" in out
    assert main(["--scenario", "rollback", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 1
    assert main(["--format", "markdown"]) == 0
    assert "| scenario | runs |" in capsys.readouterr().out
    assert main(["--tag", "none"]) == 0
    assert capsys.readouterr().out == "no run matches\n"
