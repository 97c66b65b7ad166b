"""A process that has given up forking cannot fork, and can still make threads."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import errno, os, subprocess, threading
from harness.process.nofork import refuse_processes
assert refuse_processes()
refused = 0
for attempt in (os.fork, lambda: subprocess.Popen(["true"]), lambda: os.posix_spawn("/bin/true", ["true"], {})):
    try:
        attempt()
    except BlockingIOError as error:
        refused += error.errno == errno.EAGAIN
made = []
thread = threading.Thread(target=made.append, args=(1,))
thread.start()
thread.join()
print(refused, len(made))
"""


def test_processes_are_refused_and_threads_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["3", "1"], done.stderr
