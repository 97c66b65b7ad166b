"""Six steps of unequal real work on one file of text, each with what the one before it left: a pipeline to be timed."""

import hashlib
import random
import re
import sqlite3
import zlib
from collections import Counter
from typing import Annotated

from harness.errors import BenchmarkFailed
from harness.ranges import Range
from harness.scenarios.pipeline.step import Step

LINES = "lines.txt"
_SYLLABLES = ("ka", "mo", "ri", "ta", "ne", "lu", "so", "vi", "da", "pe")
Times = Annotated[int, Range(min=1)]


def write(step: Step, *, lines: Times) -> None:
    """Leaves a file of so many lines of made-up words, the same for the same seed."""
    chance = random.Random(step.seed)
    with (step.folder / LINES).open("w", encoding="ascii") as file:
        for number in range(lines):
            words = ("".join(chance.choices(_SYLLABLES, k=3)) for _ in range(8))
            file.write(f"{' '.join(words)} {number}\n")
            if number % 1000 == 0:
                step.progress(number, lines)


def sort(step: Step, *, times: Times) -> None:
    """Sorts the lines by their words in reverse, so many times, and keeps them."""
    lines = (step.of("write") / LINES).read_text(encoding="ascii").splitlines()
    found = lines
    for turn in range(times):
        found = sorted(lines, key=lambda line: line.split()[::-1])
        step.progress(turn + 1, times)
    (step.folder / LINES).write_text("\n".join(found), encoding="ascii")


def pack(step: Step, *, times: Times) -> None:
    """Compresses the sorted lines so many times, and keeps the result."""
    content = (step.of("sort") / LINES).read_bytes()
    packed = b""
    for turn in range(times):
        packed = zlib.compress(content, 6)
        step.progress(turn + 1, times)
    (step.folder / "lines.z").write_bytes(packed)


def digest(step: Step, *, times: Times) -> None:
    """Unpacks and digests the lines so many times, and keeps the last digest."""
    packed = (step.of("pack") / "lines.z").read_bytes()
    found = hashlib.sha256()
    for turn in range(times):
        found.update(zlib.decompress(packed))
        step.progress(turn + 1, times)
    (step.folder / "digest.txt").write_text(found.hexdigest(), encoding="ascii")


def count(step: Step, *, times: Times) -> None:
    """Counts the words of the lines so many times, and keeps the commonest."""
    text = (step.of("write") / LINES).read_text(encoding="ascii")
    found: Counter[str] = Counter()
    for turn in range(times):
        found = Counter(re.findall(r"[a-z]+", text))
        step.progress(turn + 1, times)
    (step.folder / "words.txt").write_text("\n".join(word for word, _ in found.most_common(100)), encoding="ascii")


def query(step: Step, *, times: Times) -> None:
    """Puts the lines into a database and groups them by their first word, so many times; without a trace of telling.

    Raises:
        BenchmarkFailed: the database has lost lines.
    """
    rows = [(line.split()[0], line) for line in (step.of("sort") / LINES).read_text(encoding="ascii").splitlines()]
    for _ in range(times):
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE lines (first TEXT, line TEXT)")
        connection.executemany("INSERT INTO lines VALUES (?, ?)", rows)
        counts = connection.execute("SELECT count(*) FROM lines GROUP BY first").fetchall()
        connection.close()
        if sum(number for (number,) in counts) != len(rows):
            raise BenchmarkFailed(f"{len(rows)} lines were put in, {sum(number for (number,) in counts)} came out")
