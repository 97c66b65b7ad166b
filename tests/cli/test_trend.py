import csv
import json

import pytest

from harness.cli.trend import main
from harness.results.store import Store
from tests.cli.stores import store as store
from tests.results.documents import a_stored_run


def test_a_trend_is_told_as_text_json_markdown_and_csv(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (10.0, 12.0):
        a_stored_run(store, measured={"step.latency_ms": [value] * 3})
    assert main(["rollback", "step.latency_ms"]) == 0
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[5:] == ["10", "-", "#" * 20]
    assert second.split()[5:] == ["12", "+20.0", "#" * 24]
    assert main(["rollback", "--json", "--last", "1"]) == 0
    assert [point["value"] for point in json.loads(capsys.readouterr().out)["points"]] == [12.0]
    assert main(["rollback", "--format", "csv"]) == 0
    assert [row["value"] for row in csv.DictReader(capsys.readouterr().out.splitlines())] == ["10.0", "12.0"]
    assert main(["rollback", "--format", "markdown"]) == 0
    assert "| 12 | +20.0 |" in capsys.readouterr().out


def test_the_scenario_is_named_once(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rollback", "--scenario", "x"])
    assert "the scenario is the first argument" in capsys.readouterr().err
