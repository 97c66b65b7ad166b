import sysconfig
from pathlib import Path

import pytest
import torch

from harness.controlloop.data import StdlibText, Synthetic, held_out_rows
from harness.errors import ConfigError


def stdlib_text(**changes: int) -> StdlibText:
    return StdlibText(**{"budget_kb": 16, "context": 8, "stride": 4, "held_out": 32, **changes})


def test_the_text_is_the_first_sources_of_this_python_up_to_the_budget() -> None:
    text = stdlib_text().load(0)
    first = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))[0].read_bytes()
    inputs, targets = text.gather(torch.tensor([0, 1]))
    assert bytes(inputs[0].tolist()) == first[:8]
    assert bytes(inputs[1].tolist()) == first[4:12]
    assert bytes(targets[0].tolist()) == first[1:9]
    assert text.source["bytes"] == 16 * 1024


def test_the_digest_of_the_text_is_stated_and_does_not_depend_on_the_seed() -> None:
    assert stdlib_text().load(0).source == stdlib_text().load(1).source
    assert len(stdlib_text().load(0).source["sha256"]) == 64
    assert stdlib_text(budget_kb=17).load(0).source["sha256"] != stdlib_text().load(0).source["sha256"]


def test_a_budget_over_the_sources_there_are_names_both_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only.py").write_text("x = 1\n" * 500)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"data.budget_kb: should be at most the 2 KB .* found 16"):
        stdlib_text().load(0)


def test_installed_packages_are_no_part_of_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "a.py").write_text("a" * 20000)
    (tmp_path / "b.py").write_text("b" * 20000)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    inputs, _ = stdlib_text().load(0).gather(torch.tensor([0]))
    assert bytes(inputs[0].tolist()) == b"b" * 8


def test_synthetic_rows_are_those_of_the_seed() -> None:
    source = Synthetic(rows=100, features=4, classes=3, noise=0.1, held_out=10)
    assert source.load(5).source == source.load(5).source
    assert source.load(5).source["sha256"] != source.load(6).source["sha256"]


def test_held_out_rows_are_the_last_and_there_must_be_others() -> None:
    data = Synthetic(rows=100, features=4, classes=3, noise=0.1, held_out=10).load(0)
    assert held_out_rows(data).tolist() == list(range(90, 100))
    with pytest.raises(ConfigError, match=r"data.held_out: should leave rows .* 100 in all, found 100"):
        Synthetic(rows=100, features=4, classes=3, noise=0.1, held_out=100).load(0)
