import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreLost
from harness.results import baseline, bundle, schema
from harness.results.annotate import annotate, noted
from harness.results.arms import find
from harness.results.compare import compare
from harness.results.document import scenario_metrics
from harness.results.history import History
from harness.results.judgement import Question
from harness.results.perf_tests import entry, results
from harness.results.store import Store
from harness.scenarios.llm.record import SCHEMA as REQUEST
from harness.scenarios.llm.record import line_of
from tests.engine.ab_documents import a_document
from tests.llm.exchanges import an_exchange
from tests.results.documents import TRACE, a_result, a_stored_run
from tests.results.suites import a_step, in_every_state

RULES = [
    {"metric": "step.latency_ms", "stat": "p95", "warning": "> 400", "critical": "> 500"},
    {"metric": "step.latency_ms", "stat": "p50", "by": "interval", "critical": "> 12"},
    {"metric": "other.rate", "stat": "mean", "critical": "> 500"},
    {"event": "run.failed", "critical": "> 0"},
]
ERROR = {"iteration": 2, "phase": "measure", "type": "ValueError", "message": "no", "traceback": "Traceback"}


def perf_tests() -> dict[str, Any]:
    """The smoke tests, with a scenario that was compared and one that did not run."""
    facts = {"throughput.per_s": 5.0, "throughput.expected": 8.0, "throughput.below_percent": 37.5}
    entries = [
        entry("rollback", "regression", "slow", run_ids=["r1", "r2"], facts=facts, baseline="r0", duration_s=3.0),
        entry("command", "skipped", "rollback ended the tests"),
    ]
    return results(entries, suite="perf", host="bench-1", tolerance=0.25, limit_s=600.0, duration_s=3.5)


def every_kind(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Documents of each kind, plain and with everything in them."""
    store = Store(folder)
    result, finished = a_stored_run(store, rules=RULES, errors=[ERROR], failed=1)
    _, other = a_stored_run(store, run={"model": "mlp"}, measured={"other.rate": [1.0, 2.0]})
    history = History(folder)
    arms = [find(known["run_id"], history) for known in (finished, other)]
    compared = compare(arms[0], arms[1:], Question(factors=("model",)))
    packed = bundle.build(history, [finished["run_id"], other["run_id"]])
    history.close()
    annotated = annotate(folder, [finished["run_id"]], noted("looks good", None))
    cancelled = a_result(
        {"status": "cancelled", "reason": {"kind": "timeout", "message": "late"}, "model": None},
        measured={},
        rules=RULES,
    )
    store.close()
    event = {"time": result["started_at"], "seq": 0, "trace_id": TRACE, "level": "info", "event": "run.started"}
    request = {"schema": REQUEST, "phase": "measure", "iteration": 0, **line_of(an_exchange())}
    return {
        "result": [result, cancelled],
        "manifest": [finished, *annotated],
        "comparison": [compared],
        "export": [packed],
        "scenario_metrics": [scenario_metrics(result), scenario_metrics(cancelled)],
        "baseline": [baseline.build(result)],
        "ab": [a_document()],
        "suite": in_every_state(folder),
        "step": [a_step()],
        "perf_test_results": [perf_tests()],
        "request": [request, {**request, "prompt": "hello", "answer": "t0 "}],
        "event": [event, {**event, "iteration": 3, "any": {"thing": None}}],
    }


@pytest.mark.parametrize("kind", schema.VERSIONS)
def test_every_kind_of_document_fits_its_schema(kind: str, tmp_path: Path) -> None:
    for document in every_kind(tmp_path)[kind]:
        assert schema.validate(document, kind) == []


def test_an_independent_validator_accepts_every_document(tmp_path: Path) -> None:
    documents = every_kind(tmp_path / "outputs")
    for kind, found in documents.items():
        paths = []
        for i, document in enumerate(found):
            paths.append(tmp_path / f"{kind}-{i}.json")
            paths[-1].write_text(json.dumps(document))
        command = [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--schemafile",
            str(schema.path_of(kind)),
            *map(str, paths),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_schemas_are_schemas_with_an_id_that_names_their_version() -> None:
    for kind, version in schema.VERSIONS.items():
        found = json.loads(schema.path_of(kind).read_text())
        assert found["$id"] == f"urn:harness:schema:{kind}:{version}"
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--check-metaschema",
        *map(str, map(schema.path_of, schema.VERSIONS)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_problems_of_a_document_are_listed_with_their_places() -> None:
    result = a_result()
    broken = {**result, "status": "done", "exit_code": 7, "extra": 1}
    del broken["trace_id"]
    found = [str(problem) for problem in schema.validate(broken, "result")]
    assert len(found) == 4
    assert any(text.startswith("status: 'done' is not one of") for text in found)
    assert any(text.startswith("exit_code: ") for text in found)
    assert any("'trace_id' is a required property" in text for text in found)
    assert any("'extra' was unexpected" in text for text in found)


@pytest.mark.parametrize("bad", ["12", None, True, [1.0]])
def test_one_wrong_sample_among_many_is_found(bad: object) -> None:
    result = a_result()
    result["metrics"]["step.latency_ms"]["samples"][7] = bad
    found = schema.validate(result, "result")
    assert [problem.place for problem in found] == ["metrics.step.latency_ms.samples.7"]


def test_whole_numbers_are_samples_too() -> None:
    result = a_result()
    result["metrics"]["step.latency_ms"]["samples"] = [1, 2.5, 3]
    assert schema.validate(result, "result") == []


def test_an_older_version_is_read_through_each_step_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schema.VERSIONS, "event", 3)
    monkeypatch.setitem(schema.UPGRADES, ("event", 1), lambda old: {**old, "added": [2]})
    monkeypatch.setitem(schema.UPGRADES, ("event", 2), lambda old: {**old, "added": [*old["added"], 3]})
    path = tmp_path / "event.json"
    path.write_text('{"schema": "harness.event/1", "run_id": "a"}')
    assert schema.read(path, "event") == {"schema": "harness.event/3", "run_id": "a", "added": [2, 3]}
    path.write_text('{"schema": "harness.event/2", "run_id": "a", "added": []}')
    assert schema.read(path, "event")["added"] == [3]


def test_a_manifest_of_the_first_version_is_read_and_fits_the_schema_of_today(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _, known = a_stored_run(store)
    store.close()
    first = {key: value for key, value in known.items() if key not in ("pinned", "notes", "origin")}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**first, "schema": "harness.manifest/1"}))
    found = schema.read(path, "manifest")
    assert schema.validate(found, "manifest") == []
    assert (found["pinned"], found["notes"], found["origin"]) == (False, [], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": "harness.manifest/3"}', "reads up to harness.manifest/2\n  update the harness"),
        ('{"schema": "harness.result/1"}', "no document of the kind harness.manifest"),
        ('{"schema": 4}', "no document of the kind"),
        ("[]", "no document of the kind"),
        ('{"schema"', "cannot read"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(StoreLost) as caught:
        schema.read(tmp_path / "x.json", "manifest")
    assert message in str(caught.value)


def test_a_missing_file_says_where(tmp_path: Path) -> None:
    with pytest.raises(StoreLost, match=r"nothing\.json"):
        schema.read(tmp_path / "nothing.json", "result")
