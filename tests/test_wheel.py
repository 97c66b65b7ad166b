"""An installed wheel is whole: it finds its YAML and schemas without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.faults
def test_the_wheel_lists_and_runs_what_it_ships(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    assert (place / "harness" / "_data" / "conf" / "config.yaml").exists()
    environment = {**os.environ, "PYTHONPATH": str(place), "HARNESS_OUTPUTS": str(tmp_path / "outputs")}
    for words in (["list"], ["scenario=function", "lock=shared", "measure.iterations=3"], ["verify", "--all"]):
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert str(ROOT / "conf") not in done.stdout
