import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.llm.exact_length import Fitter
from harness.llm.prompts import Generated


def by_words(text: str) -> int:
    return len(text.split())


def by_letters(text: str) -> int:
    """A tokenizer that makes one to three tokens of a word."""
    return sum(min(3, 1 + len(word) // 5) for word in text.split())


@pytest.mark.parametrize("count", [by_words, by_letters])
@given(tokens=st.integers(6, 700), seed=st.integers(0, 20))
def test_a_text_has_exactly_the_length_asked_for(count: Callable[[str], int], tokens: int, seed: int) -> None:
    fitted = Fitter(count).fit("Seven red river", Generated().words(seed), tokens)
    assert fitted.exact
    assert fitted.tokens == count(fitted.text) == tokens
    assert fitted.text.startswith("Seven red river")


def test_a_longer_text_begins_like_a_shorter_one() -> None:
    """Else the prefix cache could not be used when the limit of a context is searched."""
    fitter = Fitter(by_words)
    short, long = (fitter.fit("So", Generated().words(3), tokens).text for tokens in (40, 41))
    assert long.startswith(short)


def test_a_head_that_is_too_long_is_kept_whole() -> None:
    fitted = Fitter(by_words).fit("one two three four", Generated().words(0), 2)
    assert (fitted.text, fitted.tokens, fitted.exact) == ("one two three four", 4, False)


def test_without_a_tokenizer_words_are_taken_for_tokens_and_that_is_said() -> None:
    fitted = Fitter(lambda text: None).fit("So", Generated().words(0), 30)
    assert (len(fitted.text.split()), fitted.exact) == (30, False)


def test_a_length_that_cannot_be_hit_is_missed_from_below() -> None:
    fitted = Fitter(lambda text: 7 * len(text.split())).fit("So", itertools.repeat("word"), 50)
    assert (fitted.tokens, fitted.exact) == (49, False)
