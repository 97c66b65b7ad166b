"""Transformers in this process: a tiny model made here for its ways, and the real one against llama.cpp."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.llm.engine import EngineFailed
from harness.llm.engines.transformers import Transformers
from harness.llm.schedule import Closed
from tests.llm.engines.asking import ONE_USER, patience, reasons, request
from tests.llm.engines.real import LLAMA, in_fresh_interpreter, needs_model, needs_torch_model
from tests.llm.gguf_writing import gguf, write
from tests.scenarios.contexts import Hand, by_hand

pytestmark = [needs_torch_model, pytest.mark.filterwarnings("default")]

KNOBS: dict[str, Any] = {
    "model_path": None,
    "threads": 1,
    "context_tokens": None,
    "dtype": "float32",
    "busy_wait": True,  # the process of the tests may have loaded torch long ago
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two small layers over bytes, with weights from a seed, saved as the library saves one."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_alone = Tokenizer(models.BPE(vocab={sign: at for at, sign in enumerate(alphabet)}, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    PreTrainedTokenizerFast(tokenizer_object=bytes_alone, eos_token="<end>", chat_template=template).save_pretrained(
        folder
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=257, max_position_embeddings=64, eos_token_id=256, bos_token_id=None, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def running(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Transformers, Hand]]:
    hand = by_hand(tmp_path_factory.mktemp("run"))
    engine = Transformers(**{**KNOBS, "model_path": str(tiny)})
    engine.start(hand.context)
    yield engine, hand
    engine.close()


def test_a_folder_is_served_and_described(running: tuple[Transformers, Hand], tiny: Path) -> None:
    engine, hand = running
    served = engine.revive(hand.context)
    assert (served.engine, served.model, served.context_tokens) == ("transformers", tiny.name, 64)
    assert served.settings["dtype"] == "float32"
    assert served.model_digest is not None
    assert served.load_ms is not None


def test_tokens_are_counted_and_requests_take_turns(running: tuple[Transformers, Hand]) -> None:
    engine, hand = running
    exchanges = engine.exchange([request("hello", tokens=5)] * 4, Closed((0, 0, 0)), patience(), hand.context)
    assert reasons(exchanges) == [None] * 4
    for each in exchanges:
        assert each.usage is not None
        assert (each.usage.input, each.usage.source) == (5, "tokenizer")
        assert each.usage.output <= 5
        assert sum(piece.tokens or 0 for piece in each.pieces) <= each.usage.output
    assert len({each.text for each in exchanges}) == 1
    assert max(each.server.queue_ms for each in exchanges if each.server and each.server.queue_ms is not None) > 0
    assert engine.count_tokens("hello") == 5


def test_a_seed_draws_the_same_answer_again(running: tuple[Transformers, Hand]) -> None:
    from dataclasses import replace

    engine, hand = running
    warm = request("hello", tokens=20, ignore_eos=True)
    drawn = replace(warm, sampling=replace(warm.sampling, temperature=1.0, seed=3))
    other = replace(warm, sampling=replace(warm.sampling, temperature=1.0, seed=4))
    texts = [each.text for each in engine.exchange([drawn, drawn, other], ONE_USER, patience(), hand.context)]
    assert texts[0] == texts[1] != texts[2]


def test_the_context_is_a_limit_on_prompt_and_answer(running: tuple[Transformers, Hand]) -> None:
    engine, hand = running
    fits, over = request("a" * 60, tokens=50, ignore_eos=True), request("a" * 64, tokens=1)
    exchanges = engine.exchange([fits, over], ONE_USER, patience(), hand.context)
    assert reasons(exchanges) == [None, "context_overflow"]
    assert exchanges[0].usage is not None
    assert (exchanges[0].usage.input, exchanges[0].usage.output) == (60, 4)


def test_what_the_library_does_not_know_is_said_and_not_left_out(running: tuple[Transformers, Hand]) -> None:
    engine, hand = running
    (exchange,) = engine.exchange([request(tools=[])], ONE_USER, patience(), hand.context)
    assert reasons([exchange]) == ["client_error"]
    assert exchange.failure is not None
    assert "tools" in exchange.failure.message


def test_a_cancel_stops_the_generation(running: tuple[Transformers, Hand], tmp_path: Path) -> None:
    engine, _ = running
    hand = by_hand(tmp_path)
    hand.cancel()
    exchanges = engine.exchange([request("hello", tokens=50, ignore_eos=True)] * 5, ONE_USER, patience(), hand.context)
    assert len(exchanges) < 5
    assert set(reasons(exchanges)) <= {"cancelled", None}


def test_a_folder_without_weights_and_a_strange_file_are_refused(tmp_path: Path) -> None:
    hand = by_hand(tmp_path)
    with pytest.raises(EngineFailed, match="no weights"):
        Transformers(**{**KNOBS, "model_path": str(tmp_path)}).start(hand.context)
    path = write(tmp_path / "strange.gguf", gguf({"general.architecture": "nonsense"}, {"w": (0, 64)}))
    with pytest.raises(EngineFailed, match="transformers does not load strange"):
        Transformers(**{**KNOBS, "model_path": str(path)}).start(hand.context)


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_model
def test_the_same_file_gives_the_same_answer_through_torch_and_through_llama_cpp(tmp_path: Path) -> None:
    """Half a minute of dequantising; the likeliest tokens agree as long as rounding does not decide between two."""
    code = f"""
from harness.llm.engines.transformers import Transformers
from harness.llm.engines.llama_server import LlamaServer
from tests.llm.engines.asking import ONE_USER, patience, request
from tests.llm.engines.real import server
from tests.scenarios.contexts import by_hand
hand = by_hand(folder)
knobs = json.loads({json.dumps(json.dumps({**KNOBS, "busy_wait": False}))})
found = {{}}
for name, engine in (("torch", Transformers(**knobs)), ("llama", server())):
    served = engine.start(hand.context)
    (one,) = engine.exchange([request("Say hi.", tokens=6)], ONE_USER, patience(120), hand.context)
    found[name] = [one.text, one.usage.input, one.usage.output, served.model_digest]
    engine.close()
"""
    assert LLAMA["threads"] == KNOBS["threads"]
    result = in_fresh_interpreter(code, tmp_path, timeout_s=500)
    assert result["torch"] == result["llama"]
