"""Texts of an exact number of tokens, by the model's own tokenizer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

_ROUNDS = 12  # of nearing the length; plain words need two or three
_FILLER = " a"  # one token in the usual vocabularies, and one character, so that it fits between two words
_SLACK = 64  # words taken ahead, so that a longer text begins like a shorter one


@dataclass(frozen=True)
class Fitted:
    """A text with its length; `exact` says whether the tokenizer confirmed it."""

    text: str
    tokens: int
    exact: bool


class Fitter:
    """Cuts texts to length."""

    def __init__(self, count_tokens: Callable[[str], int | None]) -> None:
        """`count_tokens` asks the model's tokenizer; None from it means that a word is taken for a token."""
        self._count = count_tokens

    def fit(self, head: str, words: Iterator[str], tokens: int) -> Fitted:
        """A text that begins with `head`, goes on with words, and has so many tokens, or as near as can be.

        The head is kept whole: a text cannot be shorter than it.
        """
        first = self._count(head)
        if first is None:
            wanted = max(0, tokens - len(head.split()))
            return Fitted(_joined(head, [next(words) for _ in range(wanted)]), tokens, exact=False)
        taken: list[str] = []
        size, best = max(0, tokens - first), Fitted(head, first, first == tokens)
        tried: set[int] = set()
        while size not in tried and len(tried) < _ROUNDS:
            tried.add(size)
            while len(taken) < size:
                taken += [next(words) for _ in range(_SLACK)]
            text = _joined(head, taken[:size])
            found = self._count(text) or 0
            if best.tokens < found <= tokens or found == tokens:
                best = Fitted(text, found, found == tokens)
            if best.exact:
                return best
            tokens_a_word = max((found - first) / size, 0.1) if size else 1.0
            size = max(0, size + (int((tokens - found) / tokens_a_word) or (1 if found < tokens else -1)))
        return self._filled(best, tokens)

    def _filled(self, near: Fitted, tokens: int) -> Fitted:
        """The text with what is missing made up by the smallest word there is."""
        best = near
        for missing in range(tokens - near.tokens, 0, -1):
            text = near.text + _FILLER * missing
            found = self._count(text) or 0
            if found == tokens:
                return Fitted(text, found, exact=True)
            if best.tokens < found <= tokens:
                best = Fitted(text, found, exact=False)
        return best


def _joined(head: str, words: list[str]) -> str:
    return " ".join([head, *words] if head else words)
