"""What a person sees who watches a run in a terminal."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.command_line import ROOT

SLEEPS = ["scenario=command", "scenario.command='sleep 3.5'", "measure.iterations=1", "measure.warmup=0", "lock=shared"]


def seen_in_a_terminal(*words: str, outputs: Path) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "HARNESS_OUTPUTS": str(outputs), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while piece := os.read(ours, 4096):
                seen += piece
        os.close(ours)
    assert process.returncode == 0
    return seen.decode()


def test_the_line_is_kept_up_to_date_while_one_iteration_takes_long(tmp_path: Path) -> None:
    """Within one iteration no event comes from the worker, so only the supervisor's own clock can move the line."""
    seen = seen_in_a_terminal(*SLEEPS, outputs=tmp_path / "outputs")
    updates = [update for update in seen.split("\r\x1b[K") if "measure, 1 iteration" in update]
    elapsed = [int(found[1]) for update in updates if (found := re.search(r"elapsed (\d+)s", update))]
    assert len(set(elapsed)) >= 3
    assert elapsed == sorted(elapsed)
    assert seen.count("\n") < len(updates) + 5
