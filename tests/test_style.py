"""The code keeps to the rules of the house: ruff with its complexity limit, and types without gaps."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def said_by(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    assert said_by("ruff", "check", "--no-cache", ".") == ""


def test_the_types_are_strict_and_right() -> None:
    assert said_by("mypy", "--no-incremental") == ""
