"""What the workers of these tests do; each is started by name, as the engine starts its own."""

import os
import signal
import subprocess
import sys
import time

from harness.process.channel import Channel


def echo(channel: Channel) -> int:
    while (message := channel.receive()) is not None:
        channel.send({"pid": os.getpid(), "echo": message})
        if message.get("last"):
            return 7
    return 0


def hang_deaf(channel: Channel) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.send({"ready": True})
    while True:
        time.sleep(3600)  # the hang itself: only SIGKILL ends it


def leave_children(channel: Channel) -> int:
    """Leaves a plain child, one in a session of its own, and a grandchild whose parent is gone."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
    plain = subprocess.Popen(sleeper)
    apart = subprocess.Popen(sleeper, start_new_session=True)
    forker = "import subprocess as s, sys; print(s.Popen(sys.argv[1:], stdout=s.DEVNULL, start_new_session=True).pid)"
    made = subprocess.run([sys.executable, "-c", forker, *sleeper], stdout=subprocess.PIPE, check=True, text=True)
    channel.send({"pids": [plain.pid, apart.pid, int(made.stdout)]})
    if channel.receive() is None:
        return 1
    return 0


def print_garbage(channel: Channel) -> int:
    os.write(1, b"\xff\xfe not utf-8 \n" * 3)
    os.write(2, b"and to standard error\n")
    return 0
