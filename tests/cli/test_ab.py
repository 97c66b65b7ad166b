"""`ab` as a person uses it: three answers, commands, checkouts, the kept report, and how it ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.ab import quoted, split, take_apart
from harness.config.compose import compose
from harness.errors import ConfigError
from tests.command_line import ROOT, CommandLine

CONF = ROOT / "tests" / "engine" / "conf"
UNITS = ("scenario=counted_units", "--metric", "test.units", "--rounds", "5")
FEW = ("--pairs", "3", "--more-pairs", "0", "--rounds", "5")


@pytest.fixture
def user(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "outputs", CONF)


def ab(user: CommandLine, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return user.verb("ab", *user.words(*words), cwd=cwd)


def report(user: CommandLine) -> dict[str, Any]:
    """The newest report document."""
    newest = max((user.outputs / "ab").iterdir(), key=lambda path: path.stat().st_ctime_ns)
    found: dict[str, Any] = json.loads((newest / "ab.json").read_bytes())
    return found


@pytest.mark.parametrize(
    ("units", "verdict", "code", "stages"),
    [
        (105, "slower", 1, {"short", "confirm"}),
        (102, "same", 0, {"short", "more"}),
        (100, "same", 0, {"short"}),
        (95, "faster", 0, {"short"}),
    ],
)
def test_counted_work_gets_the_answer_that_was_planted(
    user: CommandLine, units: int, verdict: str, code: int, stages: set[str]
) -> None:
    done = ab(user, *UNITS, f"B=scenario.units={units}")
    assert (done.returncode, done.stdout.split(":")[0]) == (code, verdict), done.stderr
    found = report(user)
    assert found["decision"]["estimate"] == pytest.approx(units / 100 - 1)
    assert found["verdict"]["level"] == verdict
    assert {pair["stage"] for pair in found["pairs"]} == stages
    assert found["null"]["verdict"] == "same"
    assert found["null"]["estimate"] == 0
    assert found["differences"] == ([] if units == 100 else [{"key": "scenario.units", "a": 100, "b": units}])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("units", "wrong"), [(105, {"same", "faster"}), (100, {"slower", "faster"})])
def test_timed_work_never_gets_the_opposite_answer(user: CommandLine, units: int, wrong: set[str]) -> None:
    """By the clock, on whatever this host does meanwhile: it may be undecided, and must not be wrong."""
    done = ab(user, "scenario=counted_units", f"B=scenario.units={units}", "--pairs", "10")
    assert report(user)["verdict"]["level"] not in wrong, done.stdout


def test_a_lower_rate_is_slower(user: CommandLine) -> None:
    done = ab(user, "scenario=counted_units", "--metric", "test.rate", "B=scenario.units=110", *FEW)
    assert done.returncode == 1, done.stderr
    assert report(user)["decision"]["estimate"] == pytest.approx(0.1)


def test_a_slowdown_is_confirmed_by_fresh_processes_before_the_exit_code_says_so(user: CommandLine) -> None:
    assert ab(user, *UNITS, *FEW, "B=scenario.units=105").returncode == 1
    found = report(user)
    first = {pid for pair in found["pairs"] if pair["stage"] == "short" for pid in pair["pids"].values()}
    again = {pid for pair in found["pairs"] if pair["stage"] == "confirm" for pid in pair["pids"].values()}
    assert len(first) == len(again) == 9
    assert not first & again
    assert found["confirmation"]["verdict"] == "slower"
    assert "confirmed" in found["verdict"]["reason"]
    assert ab(user, *UNITS, *FEW, "B=scenario.units=105", "--no-confirm").returncode == 1
    assert report(user)["confirmation"] is None


def test_equal_turns_are_kept_as_evidence(user: CommandLine) -> None:
    """Trap: unequal turns."""
    ab(user, *UNITS, *FEW, "B=scenario.units=100")
    for pair in report(user)["pairs"]:
        assert set(pair["calls"].values()) == {5}
        assert set(map(len, pair["values"].values())) == {5}
        assert set(pair["values"]) == {"A", "B", "null"}


def test_the_report_is_accepted_by_an_independent_validator_and_told_in_words(user: CommandLine) -> None:
    done = ab(user, *UNITS, *FEW, "B=scenario.units=105")
    folder = Path(done.stdout.rpartition("files: ")[2].strip())
    schema = str(ROOT / "schemas" / "ab.schema.json")
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--schemafile", schema, str(folder / "ab.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    text = (folder / "report.md").read_text()
    assert text.startswith("# slower: B is slower than A: +5.00 %")
    assert "A against itself" in text
    assert not (folder / "arms" / "pair-0").exists()
    assert (folder / "A.log").read_text() == "set up\n" * 6


def test_json_is_the_document_itself(user: CommandLine) -> None:
    done = ab(user, *UNITS, *FEW, "B=scenario.units=100", "--json")
    assert json.loads(done.stdout) == report(user)


def test_both_arms_may_have_overrides_and_share_others(user: CommandLine) -> None:
    ab(user, *UNITS, *FEW, "scenario.units=50", "A=scenario.units=100 seed=3", "B=scenario.units=110")
    found = report(user)
    assert found["decision"]["estimate"] == pytest.approx(0.1)
    assert {each["key"] for each in found["differences"]} == {"scenario.units", "seed"}


def test_two_commands_are_compared_by_their_own_time(user: CommandLine) -> None:
    done = ab(user, 'A.command=X="a b"; test "$X" = "a b"', "B.command=sleep 0.05", *FEW)
    assert done.returncode == 1, done.stdout + done.stderr
    found = report(user)
    assert found["metric"]["name"] == "command.wall_ms"
    assert found["scenario"] == "command"


def test_two_checkouts_run_their_own_code(user: CommandLine, tmp_path: Path) -> None:
    for name, units in (("before", 100), ("after", 120)):
        package = tmp_path / name / "mine"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "tasks.py").write_text(f"def work():\n    return {{'units_done': {units}.0}}\n")
    done = ab(
        user,
        "scenario=function",
        "scenario.function=mine.tasks:work",
        "metrics.units_done={unit: count, better: lower}",
        "A.checkout=../before",
        "B.checkout=../after",
        "--metric",
        "units_done",
        *FEW,
        cwd=tmp_path / "before",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = report(user)
    assert found["decision"]["estimate"] == pytest.approx(0.2)
    assert found["pairs"][0]["code"]["A"] == str(tmp_path / "before/mine/tasks.py")
    assert found["pairs"][0]["code"]["B"] == str(tmp_path / "after/mine/tasks.py")
    assert found["arms"]["B"]["checkout"] == str(tmp_path / "after")


def test_a_checkout_of_the_harness_itself_runs_its_own_scenarios(user: CommandLine, tmp_path: Path) -> None:
    sources = {}
    for name, units in (("before", 100), ("after", 120)):
        for part in ("harness", "conf", "schemas"):
            (tmp_path / name).mkdir(exist_ok=True)
            subprocess.run(["cp", "-r", "--parents", part, str(tmp_path / name)], cwd=ROOT, check=True)
        sources[name] = tmp_path / name / "harness/scenarios/function.py"
        text = sources[name].read_text().replace("return digest.hexdigest()", f"return {{'units_done': {units}.0}}")
        sources[name].write_text(text)
    done = ab(
        user,
        "scenario=function",
        "metrics.units_done={unit: count, better: lower}",
        f"A.checkout={tmp_path / 'before'}",
        f"B.checkout={tmp_path / 'after'}",
        "--metric",
        "units_done",
        *FEW,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = report(user)
    assert found["decision"]["estimate"] == pytest.approx(0.2)
    code = found["pairs"][0]["code"]
    assert (code["A"], code["B"]) == (str(sources["before"]), str(sources["after"]))


def test_an_undecided_answer_says_how_many_more_pairs_and_fails_only_when_strict(user: CommandLine) -> None:
    words = ("scenario=counted_units", "B=scenario.units=100", "--pairs", "2", "--more-pairs", "0", "--rounds", "5")
    tight = (*words, "--tolerance", "0.01%")
    done = ab(user, *tight)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("undecided: Cannot tell")
    assert "pairs" in " ".join(report(user)["messages"])
    assert ab(user, *tight, "strict=true").returncode == 1


def test_a_cancel_keeps_the_pairs_that_are_complete(user: CommandLine, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    words = user.words("scenario=waits_at", f"scenario.sign={sign}", "scenario.at=7", "--metric", "test.units", "A=")
    process = user.start("ab", *words, "--rounds", "5")
    assert process.stderr is not None
    assert "pair 1 of 7" in process.stderr.readline()
    sign.touch()  # a pair after this one waits at its seventh call
    reached = sign.with_suffix(".reached")
    while not reached.exists():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "cancelled" in out
    found = report(user)
    assert found["status"] == "cancelled"
    assert found["verdict"]["level"] == "undecided"
    assert len(found["pairs"]) >= 1
    user.await_no_survivors()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["scenario=function"], "neither A nor B is given"),
        (["scenario=function", "A=", "lost"], "argument lost: is no override"),
        (["A.command=true"], "only one of A.command and B.command"),
        (["scenario=function", "B.checkout=/nowhere"], "there is no folder '/nowhere'"),
        (["scenario=function", "B=", "--metric", "iteration.durations_ms"], "did you mean 'iteration.duration_ms'?"),
        (["scenario=function", "B=", "--pairs", "1"], "pairs: should be at least 2"),
        (["scenario=function", "B=measure.iteratons=1"], "did you mean 'iterations'?"),
        (["scenario=function", "B=hydra.mode=MULTIRUN scenario.arguments.mebibytes=1,2"], "asks for a sweep"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(user: CommandLine, words: list[str], says: str) -> None:
    done = ab(user, *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (user.outputs / "ab").exists()


def test_work_that_fails_is_exit_code_3(user: CommandLine) -> None:
    done = ab(user, "A.command=true", "B.command=exit 5", *FEW)
    assert done.returncode == 3
    assert "B: " in done.stderr
    assert "exited with 5" in done.stderr


@pytest.mark.parametrize(
    "text", ['echo "a b"', "a='b' \"c\" $X ${Y:-z}", 'back\\slash \\" end\\', "a, b; c=1 [x] {y: 2}", "ünï\n2nd line"]
)
def test_a_command_reaches_the_configuration_letter_by_letter(text: str) -> None:
    composed = compose(["scenario=command", f"scenario.command={quoted(text)}"])
    assert composed.problems == []
    assert composed.config["scenario"]["command"] == text


def test_overrides_in_one_word_are_parted_at_spaces_outside_of_quotes() -> None:
    text = 'model=mlp a={b: 1, c: [1, 2]} d=\'x y\' e="q \\" r"  f=1'
    assert split(text) == ["model=mlp", "a={b: 1, c: [1, 2]}", "d='x y'", 'e="q \\" r"', "f=1"]


def test_an_arm_s_own_overrides_take_the_place_of_shared_ones() -> None:
    words = take_apart(["scenario=function", "seed=1", "B=seed=2 ++x=3", "A=+x=4"])
    assert words.overrides("A") == ["scenario=function", "seed=1", "+x=4"]
    assert words.overrides("B") == ["scenario=function", "seed=2", "++x=3"]


def test_all_mistakes_of_the_words_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        take_apart(["lost", "A.checkout=/nowhere", "A.command=x"])
    assert len(caught.value.problems) == 3
