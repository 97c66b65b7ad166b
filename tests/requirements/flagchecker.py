"""What is wrong with the list of flags: keys, verbs and options that are not there, and entries that say two things."""

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.errors import Problem
from tests.requirements.defaults import configured, option_of, value_at
from tests.requirements.flags import Flag


def problems_of(flags: Iterable[Flag]) -> list[str]:
    """A sentence for each entry that stands twice, says none or two things, or names what is not there."""
    whole = list(flags)
    told = Counter((flag.source, flag.of, flag.name) for flag in whole)
    found = [f"{source}, {of}, {name}: stands there twice" for (source, of, name), times in told.items() if times > 1]
    for flag in whole:
        found += [f"{flag.source}, {flag.of}, {flag.name}: {problem}" for problem in _problems_of_entry(flag)]
    return found


def _problems_of_entry(flag: Flag) -> Iterator[str]:
    if len(flag.kinds) != 1:
        yield f"has {' and '.join(flag.kinds) or 'nothing'} instead of one of key, verb, omitted and open"
    if flag.option and not flag.key:
        yield "has an option, but no key that is read with it"
    if flag.key:
        yield from _problems_of_key(flag.key, flag.option)
    if flag.verb:
        yield from _problems_of_verb(flag.verb)


def _problems_of_key(key: str, option: str) -> Iterator[str]:
    composed = configured(option)
    yield from (f"{option}: {problem.message}" for problem in composed.problems if not _only_unchosen(problem))
    where = f" with {option}" if option else ""
    try:
        value = value_at(composed, key)
    except KeyError:
        yield f"there is no key {key}{where}"
        return
    if isinstance(value, dict):
        yield f"{key}{where} holds several keys, of which one is meant"


def _only_unchosen(problem: Problem) -> bool:
    """Whether it is the complaint that no scenario was chosen, which keys of every run can do without."""
    return problem.place == "scenario"


def _problems_of_verb(words: str) -> Iterator[str]:
    try:
        option_of(words)
    except KeyError:
        yield f"the harness has no {words!r}"
