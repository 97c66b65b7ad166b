"""Planted secrets are found wherever they stand, and ordinary words are left alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.redact import MASK, is_secret_name, redact, redact_problems, secrets_of
from harness.errors import Problem

PLANTED = "hunter2-and-more"


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "api_key",
        "apiKey",
        "API_KEY",
        "password",
        "db_password",
        "client_secret",
        "secret",
        "access_token",
        "Authorization",
        "private_key",
        "aws_secret_access_key",
        "X-Api-Key",
        "--password",
        "llm.api_key",
        "signing_key",
        "credentials",
        "HF_TOKEN",
        "passphrase",
        "cookie",
    ],
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "api_key_env",
        "password_file",
        "token_path",
        "secret_name",
        "max_tokens",
        "tokens",
        "tokens_per_second",
        "key",
        "first_token",
        "stop_token",
        "llm_first_token",
        "monkey",
        "keyboard",
        "metric",
        "author",
        "seed",
        "",
        "passed",
        "prompt_tokens",
        "tokenizer",
        "secretary_count",
    ],
)
def test_ordinary_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


FORMS: list[Any] = [
    {"api_key": PLANTED},
    {"llm": {"token": PLANTED, "model": "small"}},
    {"headers": {"Authorization": f"Bearer {PLANTED}"}},
    {"credentials": {"user": "me", "word": PLANTED}},
    {"secrets": [PLANTED, PLANTED]},
    [f"scenario.api_key={PLANTED}"],
    [f"++llm.token='{PLANTED}'"],
    [f'llm={{api_key: "{PLANTED}", model: small}}'],
    ["run", "--password", PLANTED],
    [f"--api-key={PLANTED}"],
    f"curl --token {PLANTED} http://localhost",
    f"https://me:{PLANTED}@example.org/path",
    f"redis://:{PLANTED}@localhost:6379/0",
    f"Authorization: Basic {PLANTED}",
    f"sent 'authorization': 'Bearer {PLANTED}' to the server",
    f"got a Bearer {PLANTED} back",
    json.dumps({"api_key": PLANTED, "n": 1}),
    {"api_key_env": f"sk-{PLANTED}"},
    ("a tuple", {"password": PLANTED}),
]


@pytest.mark.parametrize("value", FORMS, ids=lambda value: str(value)[:40])
def test_a_planted_secret_is_masked_by_its_name_or_form(value: Any) -> None:
    said = json.dumps(redact(value))
    assert PLANTED not in said
    assert MASK in said


def test_a_known_secret_is_masked_wherever_it_turns_up() -> None:
    secrets = secrets_of({"llm": {"api_key": PLANTED}}, {})
    assert redact(f"the server said: bad key {PLANTED}!", secrets) == f"the server said: bad key {MASK}!"
    assert redact({"log": [PLANTED], PLANTED[:3]: 1}, secrets) == {"log": [MASK], PLANTED[:3]: 1}


def test_secrets_come_from_the_configuration_and_from_the_environment() -> None:
    config = {
        "llm": {"api_key_env": "MY_ODD_NAME", "password": "from-config", "pin": 3},
        "url": "http://u:in-the-url@h/",
    }
    environ = {
        "MY_ODD_NAME": "named-by-config",
        "HF_TOKEN": "by-its-name",
        "DEPLOY_KEY": "also-a-key",
        "PWD": "/home/me",
        "HOME": "/home/me",
        "SHORT_TOKEN": "abc",
        "A_TOKEN": "disabled",
        "OLDPWD": "/home/you",
        "PROXY": "http://me:proxy-word@proxy",
    }
    assert secrets_of(config, environ) == {
        "from-config",
        "in-the-url",
        "named-by-config",
        "by-its-name",
        "also-a-key",
        "proxy-word",
    }


def test_a_problem_with_a_secret_keeps_its_rule_and_loses_its_value() -> None:
    found = [
        Problem(
            "override llm.api_key=abc;d,e", "llm.api_key: must be a number, found 'abc' (text)", "set llm.api_key=…"
        ),
        Problem("my/a.yaml:3", "llm.token: unknown key", "did you mean 'tokens'?"),
        Problem("my/a.yaml:4", f"measure.warmup: must be >= 0, found {PLANTED}"),
    ]
    assert redact_problems(found, {PLANTED}) == [
        Problem(f"override llm.api_key={MASK}", f"llm.api_key: must be a number, found {MASK}", "set llm.api_key=…"),
        found[1],
        Problem("my/a.yaml:4", f"measure.warmup: must be >= 0, found {MASK}"),
    ]


def test_numbers_under_a_secret_name_are_masked_and_absent_ones_stay_absent() -> None:
    assert redact({"password": 123456, "token": None, "secret": ""}) == {"password": MASK, "token": None, "secret": ""}


def test_what_is_no_secret_stays_as_it_is() -> None:
    ordinary = {
        "measure": {"warmup": 3, "rate": 0.5, "on": True, "none": None},
        "text": "x = y, a: b; 5 > 4 & http://host/p?q=r",
        "argv": ["harness", "run", "scenario=rollback", "--config-dir", "my"],
        "max_tokens": 64,
        "api_key_env": "HARNESS_LLM_KEY",
    }
    assert redact(ordinary) == ordinary


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda below: (
            st.lists(below) | st.dictionaries(st.text() | st.sampled_from(["token", "password", "model", "url"]), below)
        ),
        max_leaves=20,
    )
)
def test_redacting_twice_is_redacting_once(value: Any) -> None:
    once = redact(value, {"secret-word"})
    assert redact(once, {"secret-word"}) == once


@given(st.text(), st.text())
def test_a_known_secret_never_survives(before: str, after: str) -> None:
    assert PLANTED not in redact(f"{before}{PLANTED}{after}", {PLANTED})
