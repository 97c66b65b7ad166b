"""Files of torch.save come in as tensors and nothing else; no other module reads them."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from harness.controlloop.disktier.importer import import_torch
from harness.errors import BenchmarkFailed

ROOT = Path(__file__).resolve().parents[3]


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


def test_tensors_come_in(tmp_path: Path) -> None:
    torch.save({"weight": torch.arange(3.0)}, tmp_path / "model.pt")
    assert torch.equal(import_torch(tmp_path / "model.pt")["weight"], torch.arange(3.0))


def test_code_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Hostile()}, "model.pt")
    with pytest.raises(BenchmarkFailed, match="cannot be imported"):
        import_torch(Path("model.pt"))
    Path("plain").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(BenchmarkFailed, match="cannot be imported"):
        import_torch(Path("plain"))
    assert not Path("ran").exists()


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        import_torch(tmp_path / "none")


def test_nothing_else_reads_such_files() -> None:
    found = [path.name for path in (ROOT / "harness").rglob("*.py") if "torch.load(" in path.read_text()]
    assert found == ["importer.py"]
