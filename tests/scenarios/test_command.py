import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import BenchmarkFailed, Cancelled, ConfigError
from harness.measure.samples import Phase
from harness.paths import data
from harness.scenarios.command import Command
from tests.scenarios.contexts import Hand, by_hand

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

RATE: Mapping[str, Any] = {"rate": {"unit": "1/s", "better": "higher"}}
FAILS = "echo the reason >&2; exit 3"


def defaults() -> dict[str, Any]:
    node = yaml.safe_load((data("conf") / "scenario" / "command.yaml").read_text(encoding="utf-8"))["scenario"]
    return {name: value for name, value in node.items() if name != "_target_"} | {"shell_runs": 0}


class Bench:
    """A command scenario with a context of its own."""

    def __init__(self, run_folder: Path, /, **parameters: Any) -> None:
        self.hand: Hand = by_hand(run_folder, **RATE)
        self.runner = Command(**defaults() | parameters)

    def setup(self) -> "Bench":
        self.runner.setup(self.hand.context)
        return self

    def once(self) -> Mapping[str, float]:
        return self.runner.iterate(self.hand.context)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(command: Any, **parameters: Any) -> Bench:
        made.append(Bench(tmp_path, command=command, **parameters))
        return made[-1].setup()

    yield make
    for each in made:
        each.runner.teardown()


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_a_text_goes_to_the_shell_and_a_list_does_not(bench: Any, tmp_path: Path) -> None:
    bench(f"echo $((1 + 1)) > {tmp_path}/text").once()
    bench(["touch", f"{tmp_path}/$((1 + 1))"]).once()
    assert (tmp_path / "text").read_text() == "2\n"
    assert (tmp_path / "$((1 + 1))").exists()


def test_wall_time_is_that_of_the_command_alone(bench: Any) -> None:
    code = (
        'import time; a = time.perf_counter(); time.sleep(0.1); print("{\\"rate\\": %r}" % (time.perf_counter() - a))'
    )
    made = bench(python(code), prepare="sleep 0.2", cleanup="sleep 0.2")
    before = time.perf_counter()
    wall_ms = made.once()["command.wall_ms"]
    all_ms = (time.perf_counter() - before) * 1000
    assert made.hand.values("rate")[0] * 1000 < wall_ms < all_ms - 400


def test_cpu_time_is_within_one_percent_of_the_workloads_own_count(bench: Any) -> None:
    code = "import time\nwhile time.process_time() < {}: pass\nprint('{{\"rate\": %r}}' % time.process_time())"
    idle, works = bench(python(code.format(0))), bench(python(code.format(0.8)))
    end_ms = [idle.once()["command.cpu_ms"] - idle.hand.values("rate")[at] * 1000 for at in range(3)]
    figures = works.once()
    counted_ms = works.hand.values("rate")[-1] * 1000
    assert figures["command.cpu_ms"] == pytest.approx(counted_ms + min(end_ms), rel=0.01)
    assert figures["command.user_ms"] + figures["command.system_ms"] == pytest.approx(figures["command.cpu_ms"])


HOLD = "held = bytearray({} << 20); held[::4096] = b'x' * len(held[::4096])\n"
OWN_PEAK = "print('{\"rate\": %s}' % (int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024))\n"


@linux_only
def test_peak_memory_is_within_one_percent_of_what_was_touched(bench: Any) -> None:
    made = bench(python(HOLD.format(200) + OWN_PEAK))
    measured = made.once()["command.peak_rss_mb"]
    (counted,) = made.hand.values("rate")
    assert counted > 200
    assert measured == pytest.approx(counted, rel=0.01)


@linux_only
def test_peak_memory_is_that_of_all_processes_together(bench: Any) -> None:
    code = (
        "import os, sys\n" + HOLD.format(1) + "ready, hold = os.pipe(), os.pipe()\n"
        "for _ in range(3):\n    if os.fork() == 0:\n        os.close(hold[1])\n        "
        + HOLD.format(60)
        + "        os.write(ready[1], b'%d\\n' % int(open('/proc/self/statm').read().split()[1]))\n"
        "        os.read(hold[0], 1)\n        os._exit(0)\n"
        "pages = int(open('/proc/self/statm').read().split()[1])\n"
        "lines = os.fdopen(ready[0])\npages += sum(int(lines.readline()) for _ in range(3))\n"
        "import time\ntime.sleep(0.2)\n"
        "print('{\"rate\": %s}' % (pages * os.sysconf('SC_PAGE_SIZE') / 2**20))\n"
    )
    made = bench(python(code))
    figures = made.once()
    assert figures["command.peak_rss_mb"] == pytest.approx(made.hand.values("rate")[0], rel=0.01)
    assert figures["command.peak_rss_mb"] > 180


@linux_only
def test_a_small_command_is_not_given_the_memory_of_the_process_that_starts_it(bench: Any) -> None:
    held = bytearray(100 << 20)
    held[::4096] = b"x" * len(held[::4096])
    assert bench("sleep 0.1").once()["command.peak_rss_mb"] < 20


def test_memory_is_not_looked_at_when_that_is_switched_off(bench: Any) -> None:
    assert "command.peak_rss_mb" not in bench("true", memory_interval_ms=None).once()


def test_every_iteration_runs_the_command_once(bench: Any, tmp_path: Path) -> None:
    made = bench(f"echo run >> {tmp_path}/count")
    for _ in range(7):
        made.once()
    assert (tmp_path / "count").read_text().count("run") == 7


def test_the_steps_around_the_command_run_in_order_and_outside_its_time(bench: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    steps = ("setup_command", "prepare", "cleanup", "teardown_command")
    made = bench(f"echo command >> {log}", **{name: f"sleep 0.2; echo {name} >> {log}" for name in steps})
    assert made.once()["command.wall_ms"] < 200
    made.once()
    made.runner.teardown()
    loop = ["prepare", "command", "cleanup"]
    assert log.read_text().split() == ["setup_command", *loop, *loop, "teardown_command"]
    made.runner = Command(**defaults() | {"command": "true"})


def test_cleanup_runs_after_a_failure_too(bench: Any, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="exited with 3"):
        bench(FAILS, cleanup=f"touch {tmp_path}/cleaned").once()
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("step", ["prepare", "cleanup"])
def test_a_failing_step_fails_the_iteration_and_is_named(bench: Any, step: str) -> None:
    with pytest.raises(BenchmarkFailed, match=f"{step}: .*exited with 3"):
        bench("true", **{step: FAILS}).once()


def test_a_failing_setup_command_fails_the_setup(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="setup_command"):
        Bench(tmp_path, command="true", setup_command=FAILS).setup()


def test_a_wrong_exit_code_is_an_error_with_the_end_of_standard_error(bench: Any) -> None:
    with pytest.raises(BenchmarkFailed) as caught:
        bench(FAILS).once()
    assert "exited with 3 (allowed by scenario.exit_codes: [0])" in caught.value.message
    assert caught.value.hint.endswith("the reason")


def test_allowed_exit_codes_are_recorded(bench: Any) -> None:
    assert bench(FAILS, exit_codes=[0, 3]).once()["command.exit_code"] == 3
    assert bench("kill -9 $$", exit_codes=None).once()["command.exit_code"] == -9


def test_a_command_killed_by_a_signal_says_so(bench: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="was killed by signal 9"):
        bench("kill -9 $$").once()


def test_a_command_that_is_not_there_says_so(bench: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="exited with 127") as caught:
        bench("no_such_program_here").once()
    assert "command not found" in caught.value.hint
    with pytest.raises(BenchmarkFailed, match="cannot start 'no_such_program_here -v': No such file"):
        bench(["no_such_program_here", "-v"]).once()
    with pytest.raises(BenchmarkFailed, match="/no/such/folder"):
        bench(["true"], folder="/no/such/folder").once()


def test_folder_and_environment_reach_the_command(bench: Any, tmp_path: Path) -> None:
    bench("pwd > $WHERE; echo $LEVEL >> $WHERE", folder="/", environment={"WHERE": f"{tmp_path}/w", "LEVEL": 7}).once()
    assert (tmp_path / "w").read_text() == "/\n7\n"


@pytest.mark.parametrize("name", ["HF_TOKEN", "DB_PASSWORD", "openai_api_key", "AWS_SECRET_ACCESS_KEY"])
def test_a_secret_in_the_configuration_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="the command inherits the environment") as caught:
        Bench(tmp_path, command="true", environment={name: "hunter2", "FLAG": True}).setup()
    assert "hunter2" not in str(caught.value)
    assert len(caught.value.problems) == 2


def test_the_shells_own_start_up_is_reported_once_and_not_subtracted(bench: Any) -> None:
    made = bench("true", shell_runs=4)
    made.once()
    made.once()
    assert len(made.hand.values("command.shell_ms")) == 4
    without_shell = bench(["true"], shell_runs=4)
    without_shell.once()
    assert without_shell.hand.values("command.shell_ms") == []


def test_the_shells_start_up_is_not_lost_to_warm_up_or_a_failing_iteration(bench: Any, tmp_path: Path) -> None:
    made = bench(f"test -e {tmp_path}/there", shell_runs=3)
    made.hand.context.phase = Phase.WARMUP
    with pytest.raises(BenchmarkFailed):
        made.once()
    made.hand.context.phase = Phase.MEASURE
    with pytest.raises(BenchmarkFailed):
        made.once()
    (tmp_path / "there").touch()
    made.once()
    assert len(made.hand.values("command.shell_ms")) == 3


def test_numbers_of_json_lines_become_metrics(bench: Any) -> None:
    made = bench("""echo 'warming up'; echo '{"rate": 12.5, "note": "fast"}'; echo '{"rate": 13}'""")
    made.once()
    assert made.hand.values("rate") == [12.5, 13.0]


def test_an_undeclared_metric_is_an_error_that_says_where_to_declare_it(bench: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="'speed', which is not declared") as caught:
        bench("""echo '{"speed": 1}'""").once()
    assert "`metrics:`" in caught.value.hint
    bench("""echo '{"speed": 1}'""", json_lines=False).once()


@pytest.mark.parametrize("value", ['"fast"', "null", "NaN", "Infinity", "true", "[1]", "1" + "0" * 400])
def test_a_declared_metric_without_a_finite_number_is_an_error(bench: Any, value: str) -> None:
    with pytest.raises(BenchmarkFailed, match="'rate' must be a finite number"):
        bench(["echo", f'{{"rate": {value}}}']).once()


def test_a_command_cannot_print_what_the_harness_measures(bench: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="which the harness measures itself"):
        bench("""echo '{"command.wall_ms": 1}'""").once()


@pytest.mark.parametrize(
    "line", ['{"rate": 12.', "{", '{"rate": 1} trailing', "{" * 5000], ids=["cut", "begun", "trailing", "deep"]
)
def test_broken_json_is_no_metric_and_is_said_once(bench: Any, line: str) -> None:
    made = bench(["echo", line], memory_interval_ms=None)
    made.once()
    made.once()
    assert made.hand.values("rate") == []
    assert made.hand.event_names() == ["command.broken_json"]


@pytest.mark.parametrize(
    ("printed", "hint"), [("{rate: 3}", "begins like JSON and is none: {rate: 3}"), ("fast", 'print {"rate": 1.5} on')]
)
def test_a_command_that_prints_no_metric_though_some_are_declared_fails(bench: Any, printed: str, hint: str) -> None:
    made = bench(["echo", printed])
    made.hand.context.config = {"metrics": RATE}
    with pytest.raises(BenchmarkFailed, match="none of the metrics declared under `metrics:`: rate") as caught:
        made.once()
    assert hint in caught.value.hint


def test_garbage_and_binary_output_do_no_harm(bench: Any) -> None:
    figures = bench("head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2").once()
    assert figures["command.exit_code"] == 0


def test_huge_output_is_bounded_and_its_end_still_read(bench: Any) -> None:
    made = bench("""head -c 50000000 /dev/zero; echo; echo '{"rate": 5}'""", output_limit_kb=8, memory_interval_ms=None)
    made.once()
    assert made.hand.values("rate") == [5.0]
    assert made.hand.event_names() == ["command.output_dropped"]


def test_named_patterns_find_numbers_on_both_streams(bench: Any) -> None:
    made = bench("echo 'rate: 1.5e3 /s' >&2; echo 'rate: 7 /s'", patterns={"rate": r"^rate: (?P<value>\S+) /s$"})
    made.once()
    assert sorted(made.hand.values("rate")) == [7.0, 1500.0]


def test_a_pattern_that_matches_nothing_is_an_error(bench: Any) -> None:
    with pytest.raises(BenchmarkFailed, match=r"scenario.patterns.rate: .* matches nothing") as caught:
        bench("echo slow", patterns={"rate": "fast ([0-9]+)"}).once()
    assert "slow" in caught.value.hint


def test_a_pattern_that_finds_no_number_is_an_error(bench: Any) -> None:
    with pytest.raises(BenchmarkFailed, match="finite number"):
        bench("echo rate fast", patterns={"rate": r"rate (\w+)"}).once()


def test_wrong_patterns_are_all_refused_before_anything_runs(tmp_path: Path) -> None:
    patterns = {"rate": "([0-9]+", "speed": "speed [0-9]+"}
    made = Bench(tmp_path, command="true", setup_command=f"touch {tmp_path}/ran", patterns=patterns)
    with pytest.raises(ConfigError) as caught:
        made.setup()
    assert [problem.place for problem in caught.value.problems] == [
        f"scenario.patterns.{name}" for name in ("rate", "speed", "speed")
    ]
    made.runner.teardown()
    assert not (tmp_path / "ran").exists()


def test_kept_output_goes_to_a_bounded_file(bench: Any, tmp_path: Path) -> None:
    made = bench(
        "head -c 700 /dev/zero | tr '\\0' x; echo warning >&2",
        output="keep",
        output_limit_kb=2,
        memory_interval_ms=None,
    )
    for _ in range(5):
        made.once()
    content = (tmp_path / "command_output.txt").read_bytes()
    assert b"warning" in content
    assert len(content) == 2048
    assert made.hand.event_names() == ["command.output_limit_reached"]


def test_discarded_output_leaves_no_file(bench: Any, tmp_path: Path) -> None:
    bench("echo hello").once()
    assert not (tmp_path / "command_output.txt").exists()


@linux_only
def test_children_that_outlive_the_command_are_counted_and_ended(bench: Any, tmp_path: Path) -> None:
    figures = bench(f"sleep 60 & echo $! > {tmp_path}/pid").once()
    assert figures["command.leftover_processes"] == 1
    assert figures["command.wall_ms"] < 30_000
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@linux_only
@pytest.mark.parametrize("trap", ["", "trap '' TERM; "], ids=["ends by itself", "ignores SIGTERM"])
def test_a_cancel_ends_the_command_and_all_below_it(bench: Any, tmp_path: Path, trap: str) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(tmp_path / "started")
    command = f"{trap}sh -c '{trap}echo $$ >> {pids}; sleep 60' & echo $$ >> {pids}; : > {tmp_path}/started; wait; wait"
    made = bench(command)

    def cancel_once_started() -> None:
        (tmp_path / "started").read_bytes()
        made.hand.cancel()

    thread = threading.Thread(target=cancel_once_started)
    thread.start()
    with pytest.raises(Cancelled):
        made.once()
    thread.join()
    assert not [pid for pid in pids.read_text().split() if Path(f"/proc/{pid}").exists()]


def test_cleanup_runs_after_a_cancel(bench: Any, tmp_path: Path) -> None:
    made = bench("sleep 60", cleanup=f"touch {tmp_path}/cleaned")
    made.hand.cancel()
    with pytest.raises(Cancelled):
        made.once()
    assert (tmp_path / "cleaned").exists()


@linux_only
def test_nothing_is_left_open_after_many_commands(bench: Any) -> None:
    made = bench("echo hello; echo hello >&2", memory_interval_ms=1)
    failing = bench(["/no/such/program"])
    made.once()
    before = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for _ in range(20):
        made.once()
        with pytest.raises(BenchmarkFailed):
            failing.once()
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == before


def test_without_proc_memory_is_still_sampled(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_FORCE_PSUTIL", "1")
    figures = bench(python(HOLD.format(100) + "import time; time.sleep(0.3)")).once()
    assert figures["command.peak_rss_mb"] > 100
    assert json.dumps(figures)
