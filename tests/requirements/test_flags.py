"""Every flag of the sources is accounted for, and the page that says what it is here is up to date."""

import pytest

from tests.requirements.flagchecker import problems_of
from tests.requirements.flags import PAGE, Flag, flags, flags_of, page


def test_every_key_verb_and_option_exists_and_nothing_stands_twice() -> None:
    assert problems_of(flags()) == []


def test_the_page_is_that_of_the_list() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(flags()), "run `python -m tests.requirements.flags`"


def test_the_page_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.requirements.defaults import configured

    monkeypatch.setenv("HARNESS_LLM_URL", "http://10.0.0.1/v1")
    configured.cache_clear()
    made = Flag("URL", "made up", "it", key="llm.base_url", option="scenario=llm_inference llm=openai")
    assert "10.0.0.1" not in page([made])


def test_defaults_are_read_and_not_typed() -> None:
    rows = page(
        [
            Flag("--epochs", "made up", "it", key="scenario.epochs", option="scenario=steady_train", note="so | so"),
            Flag("--limit", "made up", "it", verb="results --last"),
            Flag("--output", "made up", "it", verb="export --output"),
            Flag("--fast", "made up", "it", omitted="it is fast"),
            Flag("two words", "other", "it", open="Not built."),
        ]
    ).splitlines()
    assert rows[rows.index("## made up") + 4 : rows.index("## other") - 1] == [
        "| `--epochs` | it | `scenario.epochs` with `scenario=steady_train`; so \\| so | `3` |  |",
        "| `--limit` | it | `python -m harness results --last` | `20` |  |",
        "| `--output` | it | `python -m harness export --output` |  |  |",
        "| `--fast` | it | not needed: it is fast |  |  |",
    ]
    assert rows[-1] == "| two words | it |  |  | Not built. |"
    assert "**5 names: a key for 1, a verb for 2, not needed 1, open 1**" in rows


def test_a_misspelt_key_of_an_entry_is_refused() -> None:
    with pytest.raises(TypeError, match="omited"):
        flags_of("- {name: --fast, source: made up, of: it, omited: it is fast}")


def test_an_entry_without_its_source_is_refused() -> None:
    with pytest.raises(TypeError, match="source"):
        flags_of("- {name: --fast, of: it, omitted: it is fast}")
