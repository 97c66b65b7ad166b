"""The default engine: a real llama.cpp server as a child, killed, hung, out of memory and started again."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.llm.engine import EngineFailed, Served
from harness.llm.engines import openmp
from harness.llm.engines.llama_server import LOG, LlamaServer
from harness.llm.exchange import Exchange
from harness.llm.schedule import Closed, Open
from harness.llm.server_usage import usage_of
from harness.process.memory import tree_resident_mb
from tests.llm.engines.asking import ONE_USER, patience, reasons, request
from tests.llm.engines.real import ROOT, needs_model, server
from tests.llm.gguf_writing import gguf, write
from tests.scenarios.contexts import Hand, by_hand

pytestmark = [needs_model, pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LlamaServer, Served, Hand]]:
    hand = by_hand(tmp_path_factory.mktemp("server"))
    engine = server()
    yield engine, engine.start(hand.context), hand
    engine.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[LlamaServer, Hand]]:
    engine = server()
    yield engine, by_hand(tmp_path)
    engine.close()


def test_it_says_what_it_serves(running: tuple[LlamaServer, Served, Hand]) -> None:
    _, served, hand = running
    assert served.engine == "llama_server"
    assert served.engine_version is not None
    assert served.model.startswith("SmolLM2-135M")
    assert served.model_digest == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert (served.model_bytes, served.context_tokens) == (98_362_432, 512)
    assert served.settings["quantisation"] == "Q4_1"
    assert (served.settings["threads"], served.settings["slots"]) == (1, 2)
    assert served.load_ms is not None
    assert served.load_ms > 0
    assert served.pid is not None
    assert psutil.Process(served.pid).ppid() == os.getpid()
    assert (hand.context.folder / LOG).is_file()


def test_an_answer_has_its_tokens_counted_by_the_server_and_its_pieces_stamped(
    running: tuple[LlamaServer, Served, Hand],
) -> None:
    engine, _, hand = running
    exchanges = engine.exchange([request(tokens=6, ignore_eos=True)] * 3, Closed((0, 0)), patience(), hand.context)
    assert reasons(exchanges) == [None] * 3
    for each in exchanges:
        assert each.usage is not None
        assert (each.usage.output, each.usage.source, each.finish_reason) == (6, "server", "length")
        assert 0 < len(each.pieces) <= 6  # neither the role nor the usage is a piece
        assert each.pieces[0].text
        assert each.server is not None
        assert each.server.prompt_ms is not None
        assert each.server.prompt_ms > 0
    assert len({each.text for each in exchanges}) == 1  # a temperature of 0 is deterministic
    assert engine.count_tokens("hello world") == 2


def test_a_prompt_that_does_not_fit_is_told_as_such(running: tuple[LlamaServer, Served, Hand]) -> None:
    engine, _, hand = running
    exchanges = engine.exchange([request("a " * 600), request()], ONE_USER, patience(), hand.context)
    assert reasons(exchanges) == ["context_overflow", None]


def test_the_context_is_that_of_each_request_however_many_slots_there_are(
    running: tuple[LlamaServer, Served, Hand],
) -> None:
    """Trap: llama.cpp divides the context that it is given by the slots."""
    engine, served, hand = running
    assert served.settings["slots"] == 2
    (exchange,) = engine.exchange([request("a " * 400)], ONE_USER, patience(), hand.context)
    assert exchange.ok, exchange.failure


def test_its_memory_and_cpu_time_are_its_own(running: tuple[LlamaServer, Served, Hand]) -> None:
    engine, served, hand = running
    watch = usage_of(served, os.getpid())
    watch.begin()
    engine.exchange([request(tokens=16, ignore_eos=True)], ONE_USER, patience(), hand.context)
    usage = watch.finish()
    assert usage.cpu_s is not None
    assert usage.cpu_s > 0
    assert usage.rss_peak_mb is not None
    assert usage.rss_peak_mb > 98  # the weights at least
    assert usage.basis == "the server's process tree"


def test_threads_wait_asleep_unless_spinning_is_asked_for(running: tuple[LlamaServer, Served, Hand]) -> None:
    """Trap: two spinning threads on two busy cores make no progress; the setting must be there when libgomp loads."""
    _, served, _ = running
    assert served.pid is not None
    environment = psutil.Process(served.pid).environ()
    assert {name: environment.get(name) for name in openmp.PASSIVE} == dict(openmp.PASSIVE)
    assert not set(openmp.environment(True)) & set(openmp.PASSIVE)


def kill_when_busy(engine: LlamaServer, pid: int, number: int = signal.SIGKILL) -> threading.Thread:
    """Signals the server as soon as it works on a request."""

    def wait_and_kill() -> None:
        slots: list[dict[str, Any]] = []
        while not any(slot.get("is_processing") for slot in slots):
            slots = engine.http.ask("/slots").content or []
        os.kill(pid, number)

    thread = threading.Thread(target=wait_and_kill, daemon=True)
    thread.start()
    return thread


def lost_then_served(exchanges: list[Exchange], count: int, users: int) -> None:
    assert [each.index for each in exchanges] == list(range(count))
    failed = [each for each in exchanges if not each.ok]
    assert 1 <= len(failed) <= users
    assert set(reasons(failed)) == {"lost"}
    assert all(each.failure is not None and "SIGKILL" in each.failure.message for each in failed)


def test_a_server_killed_mid_stream_loses_what_was_under_way_and_serves_the_rest(own: tuple[LlamaServer, Hand]) -> None:
    engine, hand = own
    first = engine.start(hand.context)
    assert first.pid is not None
    killer = kill_when_busy(engine, first.pid)
    exchanges = engine.exchange([request(tokens=48, ignore_eos=True)] * 6, Closed((0, 0)), patience(60), hand.context)
    killer.join()
    lost_then_served(exchanges, 6, users=2)
    ((_, restarted),) = [event for event in hand.events if event[0] == "llm.server_restarted"]
    assert restarted["pid"] != first.pid
    assert "SIGKILL" in restarted["why"]
    assert not psutil.pid_exists(first.pid)


def test_an_open_loop_loses_what_falls_due_while_the_server_is_away_and_keeps_its_times(
    own: tuple[LlamaServer, Hand],
) -> None:
    engine, hand = own
    first = engine.start(hand.context)
    assert first.pid is not None
    killer = kill_when_busy(engine, first.pid)
    offsets = tuple(at * 100_000_000 for at in range(30))
    exchanges = engine.exchange([request(tokens=4)] * 30, Open(offsets), patience(60), hand.context)
    killer.join()
    assert [each.index for each in exchanges] == list(range(30))
    assert "lost" in reasons(exchanges)
    assert reasons(exchanges)[-1] is None
    first_ns = exchanges[0].intended_ns
    drift_ms = [abs(each.intended_ns - first_ns - offsets[each.index]) / 1e6 for each in exchanges]
    assert max(drift_ms) < 50  # of the times after the restart, against those before


def test_between_two_loads_a_server_that_ended_is_started_again(own: tuple[LlamaServer, Hand]) -> None:
    engine, hand = own
    served = engine.start(hand.context)
    assert served.pid is not None
    os.kill(served.pid, signal.SIGKILL)
    while psutil.pid_exists(served.pid):  # not by waiting for it: that would take its exit code from the engine
        continue
    exchanges = engine.exchange([request(tokens=2)], ONE_USER, patience(), hand.context)
    assert reasons(exchanges) in ([None], ["lost"])  # the end may still be unseen when the load begins
    assert reasons(engine.exchange([request(tokens=2)], ONE_USER, patience(), hand.context)) == [None]
    revived = engine.revive(hand.context)
    assert revived.pid not in (None, served.pid)
    assert hand.event_names().count("llm.server_restarted") == 1


def test_a_server_that_hangs_is_replaced_before_the_next_load(own: tuple[LlamaServer, Hand]) -> None:
    engine, hand = own
    served = engine.start(hand.context)
    assert served.pid is not None
    stopper = kill_when_busy(engine, served.pid, signal.SIGSTOP)
    exchanges = engine.exchange(
        [request(tokens=200, ignore_eos=True)], ONE_USER, patience(60, first_byte_s=5, silence_s=5), hand.context
    )
    stopper.join()
    assert reasons(exchanges) == ["timeout"]
    assert reasons(engine.exchange([request(tokens=2)], ONE_USER, patience(), hand.context)) == [None]
    assert "llm.server_hung" in hand.event_names()
    assert not psutil.pid_exists(served.pid)


def test_restarts_come_to_an_end_and_every_request_is_accounted_for(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    engine = server(restarts=0)
    try:
        served = engine.start(hand.context)
        assert served.pid is not None
        killer = kill_when_busy(engine, served.pid)
        exchanges = engine.exchange([request(tokens=48)] * 5, ONE_USER, patience(60), hand.context)
        killer.join()
        assert [each.index for each in exchanges] == list(range(5))
        assert set(reasons(exchanges)) <= {"lost", None}
        assert reasons(exchanges)[-1] == "lost"
        assert "llm.server_restarted" not in hand.event_names()
    finally:
        engine.close()


def test_a_server_that_outgrows_its_limit_is_ended_and_named_out_of_memory(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    with pytest.raises(EngineFailed, match=r"held .* MiB, the limit being 60") as caught:
        server(memory_limit_mb=60).start(hand.context)
    assert caught.value.reason == "out_of_memory"
    assert "context_tokens" in caught.value.hint


@pytest.mark.faults
def test_a_server_that_outgrows_its_limit_under_a_load_fails_what_was_under_way(tmp_path: Path) -> None:
    """The memory really grows: states of finished prompts are kept, 23 KB a token."""
    hand = by_hand(tmp_path)
    prompts = [request(f"{number} " * 100, tokens=1, cache_prompt=True) for number in range(100, 120)]
    measuring = server(slots=1, prompt_cache_mb=2048)
    try:
        served = measuring.start(hand.context)
        assert served.pid is not None
        measuring.exchange(prompts[:1], ONE_USER, patience(60), hand.context)
        one_prompt_mb = tree_resident_mb(served.pid)
    finally:
        measuring.close()
    engine = server(slots=1, prompt_cache_mb=2048, memory_limit_mb=one_prompt_mb + 15, restarts=0)
    try:
        engine.start(hand.context)
        exchanges = engine.exchange(prompts, ONE_USER, patience(60), hand.context)
    finally:
        engine.close()
    assert len(exchanges) == 20
    assert reasons(exchanges)[0] is None
    assert reasons(exchanges)[-1] == "out_of_memory"
    failure = exchanges[-1].failure
    assert failure is not None
    assert "the limit being" in failure.message


def test_a_context_for_which_there_is_no_memory_is_named_out_of_memory(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    with pytest.raises(EngineFailed) as caught:
        server(context_tokens=20_000_000, slots=1).start(hand.context)  # 460 GB of cache
    assert caught.value.reason == "out_of_memory"
    assert "did not start" in caught.value.message


def test_a_file_of_an_unknown_architecture_ends_with_the_servers_own_words(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    path = write(tmp_path / "strange.gguf", gguf({"general.architecture": "nonsense"}, {"w": (0, 64)}))
    with pytest.raises(EngineFailed, match=r"(?s)exit code 1.*nonsense") as caught:
        server(model_path=str(path)).start(hand.context)
    assert caught.value.reason == "lost"
    assert LOG in caught.value.hint


def test_a_truncated_model_is_refused_before_a_process_is_started(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    path = write(tmp_path / "cut.gguf", gguf({"general.architecture": "llama"}, {"w": (0, 6400)})[:-64])
    with pytest.raises(EngineFailed, match="is truncated"):
        server(model_path=str(path)).start(hand.context)
    assert not (tmp_path / LOG).exists()


def test_closing_ends_the_process_and_a_second_close_does_nothing(own: tuple[LlamaServer, Hand]) -> None:
    engine, hand = own
    served = engine.start(hand.context)
    assert served.pid is not None
    engine.close()
    assert not psutil.pid_exists(served.pid)
    engine.close()
    with pytest.raises(EngineFailed, match="not started"):
        engine.exchange([request()], ONE_USER, patience(), hand.context)


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Trap: a server left behind keeps its memory, its cores and its port."""
    code = f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "from pathlib import Path\nfrom tests.llm.engines.real import server\n"
    code += "from tests.scenarios.contexts import by_hand\n"
    code += f"served = server().start(by_hand(Path({str(tmp_path)!r})).context)\n"
    code += "print(served.pid, flush=True)\ntime.sleep(600)\n"  # until it is killed
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    with parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    _, alive = psutil.wait_procs([child], timeout=30)
    assert alive == []
