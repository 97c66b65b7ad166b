"""The checker finds each way in which the page of flags could send a person to something that is not there."""

import pytest

from tests.requirements.flagchecker import problems_of
from tests.requirements.flags import Flag


def a_flag(**said: str) -> Flag:
    return Flag("--flag", "made up", "it", **said)


@pytest.mark.parametrize(
    "flag",
    [
        a_flag(key="device.kind"),
        a_flag(key="scenario.fault.step", option="scenario=rollback"),
        a_flag(key="suite_timeout_s", option="suite=smoke"),
        a_flag(key="limits.memory_mb", note="there, and null"),
        a_flag(verb="prune --days"),
        a_flag(verb="baseline save --to"),
        a_flag(verb="perf-tests"),
        a_flag(open="Not built."),
        a_flag(omitted="something else does it"),
    ],
)
def test_what_exists_is_accepted(flag: Flag) -> None:
    assert problems_of([flag]) == []


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (a_flag(key="device.knid"), "there is no key device.knid"),
        (a_flag(key="device.kind.name"), "there is no key device.kind.name"),
        (a_flag(key="scenario.fault.step"), "there is no key scenario.fault.step"),
        (
            a_flag(key="scenario.fault.step", option="scenario=steady_train"),
            "there is no key scenario.fault.step with scenario=steady_train",
        ),
        (
            a_flag(key="scenario.fault", option="scenario=rollback"),
            "scenario.fault with scenario=rollback holds several keys, of which one is meant",
        ),
        (a_flag(verb="prune --dyas"), "the harness has no 'prune --dyas'"),
        (a_flag(verb="prnue --days"), "the harness has no 'prnue --days'"),
        (a_flag(verb="baseline save --from"), "the harness has no 'baseline save --from'"),
        (a_flag(verb="baseline sav --to"), "the harness has no 'baseline sav --to'"),
        (a_flag(verb="--days"), "the harness has no '--days'"),
        (a_flag(), "has nothing instead of one of key, verb, omitted and open"),
        (a_flag(key="seed", open="Not built."), "has key and open instead of one of key, verb, omitted and open"),
        (a_flag(open="Not built.", option="scenario=rollback"), "has an option, but no key that is read with it"),
    ],
)
def test_what_does_not_exist_is_found(flag: Flag, said: str) -> None:
    assert problems_of([flag]) == [f"made up, it, --flag: {said}"]


def test_an_option_that_cannot_be_chosen_is_found() -> None:
    found = problems_of([a_flag(key="seed", option="scenario=rolback")])
    assert found
    assert all(problem.startswith("made up, it, --flag: scenario=rolback: ") for problem in found)


def test_a_double_entry_is_found() -> None:
    twice = a_flag(open="Not built.")
    assert problems_of([twice, twice]) == ["made up, it, --flag: stands there twice"]
    assert problems_of([twice, Flag("--flag", "made up", "another", open="Not built.")]) == []
