"""`ab`: two configurations, commands or checkouts measured in turn, and whether the second is slower."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import ConfigError, Problem
from harness.gates.decide.design import Design

if TYPE_CHECKING:
    from harness.config.composed import Composed
    from harness.engine.ab_document import Side

_ARM = re.compile(r"([AB])(?:\.(command|checkout))?=(.*)", re.DOTALL)
NOISE_PAIRS = 34  # of a self-test: enough to draw comparisons from
_EPILOG = """\
A and B are overrides (A=model=mlp B=model=transformer, several in quotes), commands (A.command="…" B.command="…"), or
checkouts (B.checkout=../before). What is left out is as configured: B.checkout=../other compares it with this folder.
Exit code 1 when B is slower, which fresh processes must have confirmed; 0 else, also when it cannot tell (1 with
strict=true)."""


@dataclass
class Words:
    """The command line taken apart: what both arms share, and what each has of its own."""

    common: list[str] = field(default_factory=list)
    own: dict[str, list[str]] = field(default_factory=lambda: {"A": [], "B": []})
    said: dict[str, list[str]] = field(default_factory=lambda: {"A": [], "B": []})
    command: dict[str, str] = field(default_factory=dict)
    checkout: dict[str, Path] = field(default_factory=dict)

    def overrides(self, arm: str) -> list[str]:
        """The overrides of one arm; its own take the place of those that both share."""
        own = list(self.own[arm])
        if arm in self.command:
            own.append(f"scenario.command={quoted(self.command[arm])}")
        keys = {_key(text) for text in own}
        shared = [text for text in self.common if _key(text) not in keys]
        if self.command and "scenario" not in {_key(text) for text in [*own, *shared]}:
            shared.append("scenario=command")
        return [*shared, *own]


def main(argv: Sequence[str]) -> int:
    """Compares A with B and gives the exit code.

    Raises:
        ConfigError: the command line or a configuration is wrong.
        HarnessError: nothing was measured, an arm failed, or the report could not be kept.
    """
    options = _parse(argv)
    words = take_apart(options.words)
    if not (words.said["A"] or words.said["B"]):
        raise ConfigError([Problem("arguments", "neither A nor B is given", "for example B=model=transformer")])
    return compare(words, options, "ab", ["harness", "ab", *argv])


def parser(prog: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """The flags that every comparison takes."""
    default = Design()
    found = argparse.ArgumentParser(
        prog=prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("words", nargs="*", metavar="key=value", help="overrides, as of a run")
    found.add_argument("--config-dir", action="append", type=Path, default=[], metavar="DIR", help="a folder of YAML")
    found.add_argument("--metric", metavar="M", help="what is compared (default: the time of an iteration)")
    found.add_argument(
        "--tolerance", type=share, default=default.tolerance, metavar="P", help="the change that matters (default 5%%)"
    )
    found.add_argument("--pairs", type=int, metavar="N", help=f"pairs of processes (default {default.pairs})")
    found.add_argument("--rounds", type=int, default=default.rounds, metavar="N", help="rounds of each (default 100)")
    found.add_argument("--calls", type=int, default=default.calls, metavar="N", help="calls of a turn (default 1)")
    found.add_argument(
        "--budget", type=float, default=default.budget_s, metavar="S", help="seconds of the short stage (default 120)"
    )
    found.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of the turns (default 0)")
    found.add_argument("--json", action="store_true", help="print the report document")
    return found


def share(text: str) -> float:
    """A share as typed: `5%` or `0.05`."""
    words = text.strip()
    try:
        value = float(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"should be like 5% or 0.05, found {text!r}") from None
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"should be between 0% and 100%, found {text!r}")
    return value


def take_apart(words: Sequence[str]) -> Words:
    """What both arms share and what is each one's own.

    Raises:
        ConfigError: a word is no override, or A and B are given in ways that do not go together.
    """
    found, problems = Words(), []
    for word in words:
        match = _ARM.fullmatch(word)
        if match is None:
            if "=" not in word and word[:1] not in "+~":
                problems.append(Problem(f"argument {word}", "is no override", "write key=value, A=… or B=…"))
            found.common.append(word)
            continue
        arm, way, value = match.groups()
        found.said[arm].append(word.partition("=")[2] if way is None else f"{way} {value}")
        if way == "command":
            found.command[arm] = value
        elif way == "checkout":
            found.checkout[arm] = Path(value).expanduser().resolve()
            if not found.checkout[arm].is_dir():
                problems.append(Problem(f"argument {word}", f"there is no folder {value!r}"))
        else:
            found.own[arm] += split(value)
    if len(found.command) == 1:
        problems.append(Problem("arguments", "only one of A.command and B.command is given", "give both"))
    if problems:
        raise ConfigError(problems)
    return found


def quoted(text: str) -> str:
    """The text as a quoted value of an override: nothing in it means anything to the composing library."""
    escaped = re.sub(r"(\\*)\"", r'\1\1\\"', text)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return '"' + re.sub(r"\$\{", r"\\${", escaped) + '"'


def compare(words: Words, options: argparse.Namespace, kind: Literal["ab", "noise"], command: Sequence[str]) -> int:
    """Composes both arms, measures them in turn, prints the report, and gives the exit code."""
    design = _design(options, kind)
    from harness.cli.preload import guess
    from harness.cli.run import launching

    overrides = {arm: words.overrides(arm) for arm in ("A", "B")}
    preload = guess([*overrides["A"], *overrides["B"]], options.config_dir)
    with launching([*preload, "harness.engine.arm"]) as (launcher, cancel):
        from harness.cli.run import check_jobs, import_path
        from harness.config.compose import compose
        from harness.engine.ab import Comparison
        from harness.paths import outputs
        from harness.report.ab import ab_report

        composed = {arm: compose(texts, options.config_dir) for arm, texts in overrides.items()}
        _refuse_sweeps(composed)
        path = import_path(options.config_dir)
        check_jobs(list(composed.values()), launcher, cancel, path)
        sides = {arm: _side(words, arm, composed[arm], path) for arm in composed}
        metric = options.metric or ("command.wall_ms" if words.command else "iteration.duration_ms")
        document, folder = Comparison(
            launcher,
            cancel,
            outputs(),
            sides["A"],
            sides["B"],
            design,
            metric,
            ab_report,
            kind,
            command,
            options.seed,
            lambda line: print(line, file=sys.stderr),
        ).run()
    print(json.dumps(document, indent=2) if options.json else f"{ab_report(document, 'simple')}\nfiles: {folder}")
    return int(document["exit_code"])


def _design(options: argparse.Namespace, kind: str) -> Design:
    default = Design()
    pairs = options.pairs or (default.pairs if kind == "ab" else NOISE_PAIRS)
    return Design(
        tolerance=options.tolerance,
        pairs=pairs,
        more_pairs=getattr(options, "more_pairs", default.more_pairs),
        rounds=options.rounds,
        calls=options.calls,
        confirm=getattr(options, "confirm", False),
        null=getattr(options, "null", False),
        budget_s=options.budget,
    )


def _side(words: Words, arm: str, composed: "Composed", path: Sequence[str]) -> "Side":
    from harness.config.spec import RunSpec
    from harness.engine.ab_document import Side

    checkout = words.checkout.get(arm)
    places = tuple(path) if checkout is None else tuple(_moved(place, checkout) for place in path)
    return Side(" ".join(words.said[arm]), RunSpec.from_composed(composed), places, checkout)


def _moved(place: str, checkout: Path) -> str:
    """The same place in another checkout, where it lies in this one."""
    here = Path.cwd()
    return str(checkout / Path(place).relative_to(here)) if Path(place).is_relative_to(here) else place


def _refuse_sweeps(composed: dict[str, "Composed"]) -> None:
    problems = [
        Problem(arm, "asks for a sweep", "a comparison is between two configurations; give one value for each key")
        for arm, one in composed.items()
        if one.mode != "RUN"
    ]
    if problems:
        raise ConfigError(problems)


def split(text: str) -> list[str]:
    """The overrides in a text, parted by spaces; spaces within quotes and brackets part nothing."""
    found, start, depth, quote = [], 0, 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[at - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif char in "([{)]}":
            depth += 1 if char in "([{" else -1
        elif char == " " and depth == 0:
            found.append(text[start:at])
            start = at + 1
    return [part for part in [*found, text[start:]] if part]


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+~")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    found = parser("python -m harness ab", "Measures A and B in turn and decides whether B is slower.", _EPILOG)
    more = Design().more_pairs
    found.add_argument("--more-pairs", type=int, default=more, metavar="N", help=f"in stage two (default {more})")
    found.add_argument("--no-confirm", dest="confirm", action="store_false", help="exit 1 without a confirming run")
    found.add_argument("--no-null", dest="null", action="store_false", help="leave out the second process of A")
    return found.parse_intermixed_args(list(argv))
