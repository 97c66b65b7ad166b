"""Where the prompts come from: generated words of any length, or a text file, folder or JSONL of one's own."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import BenchmarkFailed
from harness.llm.ask import Ask, read_lines, user_says

_TEXTS = (".txt", ".md")
# Plain English words; each is one token, with the blank before it, in the vocabularies of the usual tokenizers.
_WORDS = (  # noqa: SIM905 - a paragraph of words reads better than a column of them
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month lot right study book eye job word business issue side kind head house service friend "
    "father power hour game line end member law car city community name president team minute idea body information "
    "back parent face others level office door health person art war history party result change morning reason "
    "research girl guy moment air teacher force education foot boy age policy music market sense nation plan college "
    "interest death experience effect use class control care field development role effort rate heart drug show leader "
    "light voice wife police mind price report decision son view relationship town road arm difference value building "
    "action season society tax director position player record paper space ground form event matter center couple site "
    "project"
).split()


class Prompts(Protocol):
    """A source of prompts."""

    def asks(self) -> list[Ask]:
        """The prompts as they are, in their order; none where the source can only make up text."""

    def words(self, seed: int) -> Iterator[str]:
        """Words without end, from which prompts of a wanted length are cut; the same for the same seed."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Plain words in an order drawn from the run's seed: no meaning, any length."""

    def asks(self) -> list[Ask]:
        """None: every prompt is made to length."""
        return []

    def words(self, seed: int) -> Iterator[str]:
        """Words drawn evenly."""
        source = random.Random(seed)
        while True:
            yield source.choice(_WORDS)


@dataclass(frozen=True, kw_only=True)
class Files:
    """Prompts of one's own: a text file is one, so is each text file of a folder, and each line of a JSONL."""

    path: str

    def asks(self) -> list[Ask]:
        """The prompts, those of a folder in the order of their names, which become their tags.

        Raises:
            BenchmarkFailed: there is no such file or folder, or nothing in it.
        """
        path = Path(self.path)
        if path.is_dir():
            texts = sorted(each for each in path.rglob("*") if each.suffix in _TEXTS and each.is_file())
            if not texts:
                raise BenchmarkFailed(
                    f"the folder {path} holds no prompt", f"put files ending in {', '.join(_TEXTS)} into it"
                )
            return [_ask_of(each) for each in texts]
        return read_lines(path) if path.suffix in (".jsonl", ".ndjson") else [_ask_of(path)]

    def words(self, seed: int) -> Iterator[str]:
        """The words of all prompts one after the other, from a place drawn from the seed, again and again."""
        words = " ".join(ask.text for ask in self.asks()).split()
        if not words:
            raise BenchmarkFailed(
                f"{self.path} holds no text to cut prompts from", "give prompts as text, or use prompts=generated"
            )
        return itertools.islice(itertools.cycle(words), random.Random(seed).randrange(len(words)), None)


def _ask_of(path: Path) -> Ask:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        hint = "name a text file, a folder of them, or a .jsonl file; relative paths count from the current folder"
        raise BenchmarkFailed(f"cannot read the prompt {path}: {error}", hint) from error
    if not text:
        raise BenchmarkFailed(f"the prompt {path} is empty")
    return Ask(messages=user_says(text), tag=path.stem)
