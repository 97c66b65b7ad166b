from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BenchmarkFailed
from harness.llm.ask import Ask
from harness.llm.prompts import Files, Generated, Prompts
from harness.llm.workload import Asking, Workload


def asking(**changes: Any) -> Asking:
    plain: dict[str, Any] = {
        "prompt_tokens": 40,
        "max_tokens": 8,
        "ignore_eos": True,
        "temperature": 0.0,
        "top_p": 1.0,
        "stream": True,
        "endpoint": "chat",
        "prefix_cache": False,
        "extra": {},
    }
    return Asking(**{**plain, **changes})


def words_of(text: str) -> int:
    return len(text.split())


def a_workload(
    prompts: Prompts | None = None,
    salt: str = "run",
    overhead: int = 0,
    count: Callable[[str], int | None] = words_of,
    told: list[tuple[int, int]] | None = None,
    **changes: Any,
) -> Workload:
    def tell(asked_tokens: int, made_tokens: int) -> None:
        assert told is not None, "a prompt is not of the length asked for"
        told.append((asked_tokens, made_tokens))

    made = Workload(prompts or Generated(), asking(**changes), count, seed=3, salt=salt, tell_inexact=tell)
    made.overhead_tokens = overhead
    return made


def test_prompts_have_the_length_asked_for_with_the_template() -> None:
    request = a_workload(overhead=30).request()
    assert len(request.text.split()) == 10
    assert request.sampling.max_tokens == 8


def test_a_length_that_the_tokenizer_cannot_make_is_told() -> None:
    told: list[tuple[int, int]] = []
    a_workload(told=told).request()
    assert told == []
    a_workload(told=told, count=lambda text: 2 * words_of(text), prompt_tokens=41).request()
    assert told == [(41, 40)]


def test_no_two_prompts_begin_alike() -> None:
    """Trap: a server's prefix cache answers a repeated beginning faster than the model reads."""
    texts = [request.text.split() for request in a_workload().requests(50)]
    assert len({tuple(words[:3]) for words in texts}) == 50


def test_the_same_seed_in_another_run_makes_other_prompts() -> None:
    """Trap: a server that outlives the run has the first run's prompts in its cache."""
    assert a_workload(salt="one").request().text != a_workload(salt="two").request().text
    assert a_workload(salt="").request().text == a_workload(salt="").request().text


def test_the_prefix_cache_is_off_unless_it_is_wanted() -> None:
    assert a_workload().request().extra == {"cache_prompt": False, "ignore_eos": True}
    assert a_workload(prefix_cache=True, ignore_eos=False).request().extra == {"cache_prompt": True}


def test_further_fields_are_passed_on_and_win() -> None:
    request = a_workload(extra={"min_p": 0.1, "cache_prompt": True}).request()
    assert request.extra == {"cache_prompt": True, "ignore_eos": True, "min_p": 0.1}


def test_a_prompt_shorter_than_its_template_is_refused_with_the_least_that_is_possible() -> None:
    with pytest.raises(BenchmarkFailed, match="a prompt of 20 tokens cannot be made") as error:
        a_workload(overhead=30).request(prompt_tokens=20)
    assert "ask for 33 or more" in error.value.hint


def test_prompts_alike_share_their_beginning() -> None:
    workload = a_workload()
    short, long, other = (
        workload.alike(number, prompt_tokens=tokens, max_tokens=1) for number, tokens in ((1, 50), (1, 51), (2, 51))
    )
    assert long.text.startswith(short.text)
    assert not other.text.startswith(short.text)
    assert short.extra["cache_prompt"] is True


@pytest.fixture
def own(tmp_path: Path) -> Files:
    (tmp_path / "a.txt").write_text("What is a river?")
    (tmp_path / "b.txt").write_text("What is a tree?")
    return Files(path=str(tmp_path))


def test_prompts_of_ones_own_go_round_with_a_beginning_of_their_own(own: Files) -> None:
    found = a_workload(own, prompt_tokens=None).requests(3)
    assert [request.tag for request in found] == ["a", "b", "a"]
    assert found[0].text.endswith("What is a river?")
    assert found[0].text != found[2].text


def test_with_the_prefix_cache_prompts_of_ones_own_stay_as_they_are(own: Files) -> None:
    found = a_workload(own, prompt_tokens=None, prefix_cache=True).requests(3)
    assert found[0].text == found[2].text == "What is a river?"


def test_a_length_is_cut_from_texts_of_ones_own(own: Files) -> None:
    assert len(a_workload(own, prompt_tokens=500).request().text.split()) == 500


def test_generated_prompts_need_a_length() -> None:
    with pytest.raises(BenchmarkFailed, match="no length of their own"):
        a_workload(prompt_tokens=None)


def test_an_ask_of_a_trace_decides_lengths_and_tag() -> None:
    (request,) = a_workload().of([Ask(prompt_tokens=25, max_tokens=3, tag="t")])
    assert (len(request.text.split()), request.sampling.max_tokens, request.tag) == (25, 3, "t")
