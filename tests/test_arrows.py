"""The import arrows of the architecture point down."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_no_import_goes_against_the_arrows() -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_process_room_forks_starts_or_kills() -> None:
    calls = ("os.fork", "Popen(", "subprocess.run", "os.kill(", "os.killpg(", "posix_spawn")
    found = [
        f"{path.relative_to(ROOT)}: {call}"
        for path in (ROOT / "harness").rglob("*.py")
        for call in calls
        if "process" not in path.parts and call in path.read_text(encoding="utf-8")
    ]
    assert found == []
