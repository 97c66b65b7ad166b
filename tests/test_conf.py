"""Every shipped YAML file composes and checks clean, says what it is, and agrees with the code that reads it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.config.check import check, config_schema
from harness.config.compose import compose, compose_all
from harness.config.crossrules import READ_BY_SCENARIO, UNSUPPORTED
from harness.config.explain import describe
from harness.config.knobs import knobs_of
from harness.config.options import NOTHING, Option, folders, groups
from harness.config.sentences import Validator
from harness.config.signature import describe_targets, shipped_document
from harness.config.spec import RunSpec
from harness.config.targets import undescribed
from harness.gates.comparison import OPERATORS
from harness.gates.comparison import parse as parse_comparison
from harness.gates.thresholds import load_rules
from harness.measure.catalogue import load_catalogue
from harness.measure.stats import STATISTICS
from harness.paths import data

CONF = data("conf")
SHIPPED = groups(folders()[:1])
OPTIONS = [option for options in SHIPPED.values() for option in options.values() if option.name != NOTHING]
SWEEPS = [option for option in OPTIONS if option.group in ("suite", "experiment")]
SINGLE = [option for option in OPTIONS if option not in SWEEPS]


@pytest.fixture(autouse=True)
def no_folder_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_CONFIG_DIR", raising=False)


def ids(option: Option) -> str:
    return f"{option.group}={option.name}"


def scenario_for(option: Option) -> str:
    """A scenario that takes notice of the option."""
    if option.group in ("scenario", "threshold"):
        return option.name
    if option.group in READ_BY_SCENARIO:
        reading = re.compile(r"\$\{" + option.group + r"\b")
        return next(one.name for one in SHIPPED["scenario"].values() if reading.search(one.path.read_text()))
    return "function"


@pytest.mark.parametrize("option", SINGLE, ids=ids)
def test_every_option_composes_and_checks_clean(option: Option) -> None:
    composed = compose([f"scenario={scenario_for(option)}", f"{option.group}={option.name}"])
    problems = check(composed, load_catalogue(), describe_targets(undescribed(composed)))
    if option.group == "device" and option.name in UNSUPPORTED:
        assert [problem.place for problem in problems] == [f"conf/device/{option.name}.yaml:2"]
        return
    assert problems == []
    assert composed.sources[option.group] == option.shown
    assert RunSpec.from_composed(composed, {}).scenario == scenario_for(option)
    load_rules(composed.config.get("threshold"), load_catalogue())


@pytest.mark.parametrize("option", SWEEPS, ids=ids)
def test_every_job_of_every_sweep_checks_clean(option: Option) -> None:
    whole, jobs = compose_all([f"{option.group}={option.name}"])
    assert check(whole, load_catalogue()) == []
    assert jobs
    for job in jobs:
        assert check(job, load_catalogue(), describe_targets(undescribed(job))) == []
        assert job.config[option.group] == option.name


@pytest.mark.parametrize("option", OPTIONS, ids=ids)
def test_every_option_says_what_it_is(option: Option) -> None:
    assert len(option.description) > 10, f"{option.shown} needs a line of comment at its top"


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.group not in ("threshold", "suite", "experiment")], ids=ids
)
def test_every_default_has_a_comment(option: Option) -> None:
    described = {knob.keys for knob in knobs_of(CONF / "config.yaml", "conf/config.yaml") if knob.comment}
    for knob in knobs_of(option.path, option.shown, (option.group,)):
        assert knob.comment or knob.keys in described or knob.keys[-1].startswith("_"), f"{knob.place}: {knob.dotted}"


def test_every_key_of_the_main_file_has_a_comment_and_a_schema() -> None:
    for knob in knobs_of(CONF / "config.yaml", "conf/config.yaml"):
        assert knob.comment, knob.place
        assert knob.keys[0] in config_schema()["properties"]


def test_every_group_of_the_defaults_list_exists_and_starts_empty_or_with_an_option() -> None:
    entries = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    assert entries[0] == "_self_"
    for entry in entries[1:]:
        ((key, option),) = entry.items()
        group = key.split()[-1]
        if not group.startswith("hydra/"):
            assert option is None or option in SHIPPED[group] or option == "${scenario}", entry


def test_the_schemas_of_the_shipped_targets_are_those_of_their_signatures() -> None:
    path = data("schemas") / "targets.schema.json"
    expected = json.dumps(shipped_document(), indent=2, ensure_ascii=False) + "\n"
    assert path.read_text(encoding="utf-8") == expected, "run `python -m harness.config.signature`"


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.group == "scenario"], ids=ids)
def test_what_is_described_is_what_is_composed(option: Option) -> None:
    composed = compose([f"scenario={option.name}"])
    described = describe(option, SHIPPED, folders()[:1])
    for knob, _ in described.knobs:
        if knob.line and not (isinstance(knob.value, str) and "${" in knob.value):
            value: Any = composed.config
            for key in knob.keys:
                value = value[key]
            assert value == knob.value, f"{knob.place}: {knob.dotted}"
    assert {group: composed.choices[group] for group in described.parts} == described.parts


@pytest.mark.parametrize("name", ["config", "targets"])
def test_each_schema_is_a_schema_with_a_version(name: str) -> None:
    document = json.loads((data("schemas") / f"{name}.schema.json").read_text())
    Validator.check_schema(document)
    assert re.fullmatch(rf"urn:harness:{name}:\d+", document["$id"])


def test_the_schema_and_the_gates_agree_on_rules() -> None:
    rule = config_schema()["$defs"]["rule"]["properties"]
    assert rule["stat"]["enum"] == [*STATISTICS, "count"]
    assert rule["by"]["enum"] == ["sample", "interval"]


@pytest.mark.parametrize(
    "text", [f"{sign} {number}" for sign in OPERATORS for number in ("5", "-.5", "1e6", "+2.", "0")]
)
def test_the_schema_and_the_gates_agree_on_comparisons(text: str) -> None:
    pattern = config_schema()["$defs"]["comparison"]["pattern"]
    assert parse_comparison(text)
    assert re.search(pattern, text)


@pytest.mark.parametrize("text", ["=> 5", "5", "> 5 ms", "> five", "> ", "", "< 5 <", "> ٥"])
def test_what_one_of_them_refuses_the_other_refuses_too(text: str) -> None:
    with pytest.raises(ValueError, match="limit"):
        parse_comparison(text)
    assert not re.search(config_schema()["$defs"]["comparison"]["pattern"], text)


def test_no_file_of_the_configuration_lies_outside_a_group() -> None:
    loose = [path.name for path in Path(CONF).glob("*.yaml")]
    assert loose == ["config.yaml"]
