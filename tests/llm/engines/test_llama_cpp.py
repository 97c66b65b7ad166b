"""llama.cpp in this process: in interpreters of their own, because it must be the first to load OpenMP."""

import json
from pathlib import Path
from typing import Any

from tests.llm.engines.real import LLAMA, in_fresh_interpreter, needs_model

pytestmark = needs_model

START = f"""
import os, signal, threading, time
from harness.llm.engine import EngineFailed
from harness.llm.engines.llama_cpp import LlamaCpp
from harness.llm.schedule import Closed, Open
from tests.llm.engines.asking import ONE_USER, patience, reasons, request
from tests.scenarios.contexts import by_hand
hand = by_hand(folder)
knobs = json.loads({json.dumps(json.dumps(LLAMA))})
"""


def found(code: str, folder: Path) -> Any:
    return in_fresh_interpreter(START + code, folder)


def test_it_answers_like_the_server_and_says_what_it_is(tmp_path: Path) -> None:
    code = """
engine = LlamaCpp(**knobs)
served = engine.start(hand.context)
closed = engine.exchange([request(tokens=6, ignore_eos=True)] * 4, Closed((0, 0)), patience(), hand.context)
whole = [request(tokens=6, ignore_eos=True, stream=False, endpoint=each) for each in ("chat", "completions")]
opened = engine.exchange(whole, Open((0, 1000)), patience(), hand.context)
overflow = engine.exchange([request("a " * 600)], ONE_USER, patience(), hand.context)
found = {"pid": served.pid == os.getpid(), "digest": served.model_digest, "load_ms": served.load_ms,
    "context": served.context_tokens, "settings": dict(served.settings), "reasons": reasons(closed + opened + overflow),
    "texts": [each.text for each in closed], "pieces": [len(each.pieces) for each in closed + opened],
    "usage": [each.usage.output for each in closed + opened], "tokens": engine.count_tokens("hello world"),
    "server_ms": closed[0].server.prompt_ms, "in_order": closed[0].sent_ns < closed[0].pieces[0].at_ns}
engine.close()
"""
    result = found(code, tmp_path)
    assert result["pid"]
    assert result["digest"].startswith("b179c952")
    assert result["load_ms"] > 0
    assert result["context"] == 512
    assert result["settings"]["in_process"]
    assert result["reasons"] == [None] * 6 + ["context_overflow"]
    assert len(set(result["texts"])) == 1
    assert all(0 < pieces <= 6 for pieces in result["pieces"][:4])
    assert result["pieces"][4:] == [1, 1]
    assert result["usage"] == [6] * 6
    assert result["tokens"] == 2
    assert result["server_ms"] > 0
    assert result["in_order"]


def test_a_prompt_that_is_being_read_is_given_up_in_time_and_the_model_comes_back(tmp_path: Path) -> None:
    code = """
engine = LlamaCpp(**{**knobs, "context_tokens": 1024})
engine.start(hand.context)
late = engine.exchange([request("a " * 900)], ONE_USER, patience(60, first_byte_s=0.1), hand.context)
pid_of_python_signals = signal.getsignal(signal.SIGINT)
again = engine.exchange([request(tokens=2)], ONE_USER, patience(), hand.context)
threading.Timer(0.2, hand.cancel).start()
began = time.monotonic()
cancelled = engine.exchange([request("a " * 900)] * 3, Closed((0, 0)), patience(), hand.context)
found = {"late": reasons(late), "again": reasons(again), "cancelled": reasons(cancelled), "s": time.monotonic() - began}
engine.close()
"""
    result = found(code, tmp_path)
    assert result["late"] == ["timeout"]
    assert result["again"] == [None]
    assert result["cancelled"] == ["cancelled"] * 2
    assert result["s"] < 5


def test_signals_stay_those_of_the_measuring_process(tmp_path: Path) -> None:
    """Trap: the library's server once took SIGTERM for itself, and a cancel would then have ended nothing."""
    code = """
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append("ours"))
engine = LlamaCpp(**knobs)
engine.start(hand.context)
os.kill(os.getpid(), signal.SIGTERM)
answered = reasons(engine.exchange([request(tokens=2)], ONE_USER, patience(), hand.context))
found = {"got": got, "answered": answered}
"""
    assert found(code, tmp_path) == {"got": ["ours"], "answered": [None]}


def test_a_process_that_has_loaded_openmp_already_is_refused_unless_spinning_is_accepted(tmp_path: Path) -> None:
    """Trap: in a fork of a process with torch, llama.cpp gets torch's OpenMP, whose threads spin."""
    code = """
import torch
try:
    LlamaCpp(**knobs).start(hand.context)
    found = "started"
except EngineFailed as error:
    found = str(error)
"""
    refusal = found(code, tmp_path)
    assert "wait by spinning" in refusal
    assert "worker.start=fresh" in refusal


def test_a_model_that_does_not_load_says_so(tmp_path: Path) -> None:
    code = """
from tests.llm.gguf_writing import gguf, write
path = write(folder / "strange.gguf", gguf({"general.architecture": "nonsense"}, {"w": (0, 64)}))
try:
    LlamaCpp(**{**knobs, "model_path": str(path)}).start(hand.context)
    found = "started"
except EngineFailed as error:
    found = str(error)
"""
    assert "llama.cpp does not load" in found(code, tmp_path)
