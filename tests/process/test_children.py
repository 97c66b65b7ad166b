import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import Cancelled
from harness.process import children
from harness.process.children import Child, Finished, output_of
from harness.process.output import Drain, Output

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def run(command: str | Sequence[str], **options: object) -> tuple[Finished, Output]:
    arguments = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    drain = Drain(1 << 16)
    child = Child(arguments, stdout=drain.write_end, **options)  # type: ignore[arg-type]
    drain.release()
    finished = child.wait()
    return finished, drain.finish()


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def started_and_said(command: Sequence[str], word: bytes = b"ready") -> Child:
    """The child, once it has printed `word`."""
    reader, writer = os.pipe()
    child = Child(command, stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        assert said.readline().strip() == word
    return child


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_exit_code_is_given() -> None:
    assert run("exit 7")[0].code == 7


def test_a_signal_is_given_as_a_negative_code() -> None:
    assert run("kill -KILL $$")[0].code == -signal.SIGKILL


def test_a_missing_program_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/no/such/program"])


def test_standard_input_is_empty() -> None:
    finished, output = run("cat; echo end")
    assert (finished.code, output.head) == (0, b"end\n")


@linux_only
def test_wall_time_is_within_one_percent_of_the_commands_own_clock() -> None:
    """All processes share this clock, so both ends are compared, and the start of Python does not matter."""
    code = "import os, time\nfirst = time.monotonic_ns()\ntime.sleep(0.4)\n"
    code += "os.write(1, b'%d %d' % (first, time.monotonic_ns()))\nos._exit(0)"
    errors = []
    for _ in range(5):
        drain = Drain(100)
        child = Child(python(code), stdout=drain.write_end)
        drain.release()
        wall_ns = child.wait().wall_ns
        first, last = map(int, drain.finish().head.split())
        own_ns = last - first
        assert child.started_ns < first
        assert child.started_ns + wall_ns > last
        errors.append((child.started_ns + wall_ns - last) / own_ns)
    assert min(errors) < 0.01  # what the wake-up of this process took; a busy host may spoil some of them


def test_cpu_time_is_what_the_command_itself_counts() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(time.process_time())"
    finished, output = run(python(code))
    assert finished.user_s is not None
    assert finished.system_s is not None
    counted = float(output.head)
    assert counted <= finished.user_s + finished.system_s + 1e-5  # rusage and the clock round differently
    assert finished.user_s + finished.system_s < 1.01 * counted + 0.02  # what Python needs to end comes on top


@linux_only
def test_cpu_time_of_an_orphan_that_ended_in_time_is_counted() -> None:
    worker = "import time; time.process_time() and None\nwhile time.process_time() < 0.2: pass"
    code = f"import os, sys\nr, w = os.pipe()\nif os.fork() == 0:\n    if os.fork() == 0:\n        exec({worker!r})\n"
    code += "        os.write(w, b'x')\n    os._exit(0)\nos.wait()\nos.read(r, 1)"
    finished, _ = run(python(code))
    assert finished.user_s is not None
    assert finished.user_s + (finished.system_s or 0) >= 0.2


@linux_only
@pytest.mark.parametrize(
    "command",
    [
        "sleep 60 & echo $!",
        "setsid sleep 60 & echo $!",
        "(setsid sh -c 'echo $$; exec sleep 60' &) ; sleep 0.2",
        "nohup sh -c 'trap \"\" TERM HUP; echo $$; sleep 60' & sleep 0.2",
    ],
    ids=["background", "own session", "daemon", "ignores signals"],
)
def test_what_outlives_the_command_is_killed_and_counted(command: str) -> None:
    finished, output = run(command)
    assert finished.code == 0
    assert finished.leftovers >= 1
    assert not exists(int(output.head.split()[0]))


@linux_only
def test_an_orphan_that_ended_before_the_command_is_no_leftover() -> None:
    code = "import os\nr, w = os.pipe()\nif os.fork() == 0:\n    os.fork()\n    os._exit(0)\n"
    code += "os.close(w)\nos.wait()\nos.read(r, 1)"  # the end of file comes when the last holder of w has ended
    assert run(python(code))[0].leftovers == 0


@linux_only
def test_processes_that_fork_while_they_are_killed_are_all_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, signal, time
log = os.open({str(pids)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for _ in range(5):
    if os.fork() == 0:
        for _ in range(200):
            if os.fork() == 0:
                os.setsid()
                os.write(log, b"%d\\n" % os.getpid())
                signal.pause()
            time.sleep(0.001)
        signal.pause()
while os.fstat(log).st_size < 50: pass
"""
    finished, _ = run(python(code))
    assert finished.leftovers >= 5
    assert not [pid for pid in map(int, pids.read_text().split()) if exists(pid)]


def test_children_of_this_process_that_are_not_the_commands_are_left_alone() -> None:
    other = started_and_said(["/bin/sh", "-c", "echo ready; exec sleep 60"])
    assert run("true")[0].leftovers == 0
    assert exists(other.pid)
    other.stop()
    assert other.wait().code == -signal.SIGTERM


def test_stop_lets_the_command_end_by_itself() -> None:
    child = started_and_said(["/bin/sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"])
    child.stop(grace_s=30)
    assert child.wait().code == 5


def test_stop_kills_a_command_that_ignores_sigterm() -> None:
    child = started_and_said(["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"])
    child.stop(grace_s=0.05)
    assert child.wait().code == -signal.SIGKILL


def test_stop_after_the_end_signals_nobody() -> None:
    child = Child(["/bin/true"])
    child.wait()
    child.stop()


def test_stop_from_another_thread_ends_the_wait() -> None:
    child = started_and_said(["/bin/sh", "-c", "echo ready; exec sleep 60"])
    thread = threading.Thread(target=child.stop)
    thread.start()
    assert child.wait().code == -signal.SIGTERM
    thread.join()


@linux_only
def test_a_cancel_raised_by_a_signal_handler_ends_the_whole_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_cancelled(number: int, frame: object) -> None:
        raise Cancelled

    def interrupted_once(*arguments: object) -> object:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGUSR1)
        raise AssertionError("the handler has raised")

    before = signal.signal(signal.SIGUSR1, raise_cancelled)
    try:
        code = "(trap '' TERM; sh -c 'echo $$; exec sleep 60') & trap '' TERM; wait; wait"
        reader, writer = os.pipe()
        child = Child(["/bin/sh", "-c", code], stdout=writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as said:
            grandchild = int(said.readline())
        monkeypatch.setattr(os, "waitid", interrupted_once)
        with pytest.raises(Cancelled):
            child.wait()
        assert not exists(child.pid)
        assert not exists(grandchild)
    finally:
        signal.signal(signal.SIGUSR1, before)


@linux_only
def test_signals_ignored_here_are_not_ignored_in_the_command() -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _, output = run("cat /proc/self/status")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    ignored = int(re.search(rb"SigIgn:\s*(\w+)", output.head)[1], 16)  # type: ignore[index]
    assert not ignored & (1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1))


def test_the_memory_of_a_small_command_is_not_said_to_be_that_of_this_process() -> None:
    held = bytearray(64 << 20)
    held[::4096] = b"x" * len(held[::4096])
    assert run("true")[0].largest_mb is None


def test_the_memory_of_a_command_larger_than_this_process_is_the_kernels_figure() -> None:
    own = children._largest_of_this_process()
    finished, _ = run(python(f"held = bytearray({int(own) + 50} << 20)\nheld[::4096] = b'x' * len(held[::4096])"))
    assert finished.largest_mb is not None
    assert finished.largest_mb > own + 50


def test_without_proc_the_commands_session_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_FORCE_PSUTIL", "1")
    finished, output = run("sleep 60 & echo $!")
    assert finished.leftovers == 1
    assert not _runs(int(output.head))


def _runs(pid: int) -> bool:
    return children._is_alive(pid)


@pytest.mark.parametrize("missing", [("waitid",), ("waitid", "wait4")], ids=["as on macOS", "as on Windows"])
def test_without_these_calls_the_command_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HARNESS_FORCE_PSUTIL", "1")
    for name in missing:
        monkeypatch.delattr(os, name)
    finished, output = run("echo out; exit 3")
    assert (finished.code, output.head) == (3, b"out\n")
    assert (finished.user_s is None) == ("wait4" in missing)


def test_output_of_a_command_that_works_fails_hangs_or_is_missing() -> None:
    assert output_of(["echo", "hello"]) == "hello\n"
    assert output_of(["false"]) is None
    assert output_of(["sleep", "60"], timeout_s=0.05) is None
    assert output_of(["/no/such/program"]) is None


def drained(write: Callable[[int], None], limit: int = 100) -> Output:
    drain = Drain(limit)
    write(drain.write_end)
    return drain.finish()


def test_short_output_is_kept_whole() -> None:
    output = drained(lambda end: os.write(end, b"a" * 60 + b"b" * 40) and None)
    assert (output.head + output.tail, output.dropped) == (b"a" * 60 + b"b" * 40, 0)


@pytest.mark.parametrize("sizes", [[150], [99, 2, 49], [100, 100], [1] * 199, [70, 70, 59]], ids=str)
def test_output_up_to_twice_the_limit_is_kept_whole(sizes: list[int]) -> None:
    content = bytes(at % 251 for at in range(sum(sizes)))

    def write(end: int) -> None:
        at = 0
        for size in sizes:
            os.write(end, content[at : at + size])
            at += size

    output = drained(write)
    assert output.head + output.tail == content


def test_of_long_output_the_beginning_and_the_end_are_kept() -> None:
    content = bytes(at % 251 for at in range(12_345))
    output = drained(lambda end: os.write(end, content) and None)
    assert (output.head, output.tail) == (content[:100], content[-100:])
    assert (output.total, output.dropped) == (12_345, 12_145)
    assert "12145 bytes not kept" in output.text


def test_huge_output_neither_blocks_nor_grows() -> None:
    drain = Drain(1000)
    child = Child(["/bin/sh", "-c", "head -c 300000000 /dev/zero; echo; echo end"], stdout=drain.write_end)
    drain.release()
    assert child.wait().code == 0
    output = drain.finish()
    assert output.total == 300_000_005
    assert output.tail.endswith(b"\nend\n")
    assert len(output.head) + len(output.tail) == 2000


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert drained(lambda end: os.write(end, b"\xff\xfe ok") and None).text == "\ufffd\ufffd ok"


def test_an_end_that_stays_open_elsewhere_does_not_hold_up_what_was_printed() -> None:
    drain = Drain(100)
    elsewhere = os.dup(drain.write_end)
    os.write(elsewhere, b"said")
    drain.release()
    while drain._total < 4:
        time.sleep(0)
    assert drain.finish(timeout_s=0.01).head == b"said"
    os.close(elsewhere)
    drain._thread.join()


def test_the_end_of_one_command_leaves_another_one_alone_and_what_that_one_has_started() -> None:
    older = started_and_said(python("print('ready', flush=True); input()"))
    detach = "import subprocess as s, sys; s.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])"
    younger = started_and_said(
        python(f"import subprocess as s, sys, time; s.run([sys.executable, '-c', {detach!r}]); "
               "print('ready', flush=True); time.sleep(3600)")
    )  # fmt: skip
    assert older.wait().leftovers == 0
    assert exists(younger.pid)
    younger.stop()
    assert younger.wait().leftovers == 1
