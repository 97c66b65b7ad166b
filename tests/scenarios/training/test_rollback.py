from pathlib import Path

import pytest
import yaml

from harness.controlloop.snapshot import RestoreFailed, TrainingState
from harness.errors import ConfigError
from harness.gates.thresholds import load_rules
from harness.measure.catalogue import load_catalogue
from harness.paths import data
from tests.scenarios.contexts import by_hand
from tests.scenarios.training.composing import run_once, runner

FAULT = ["scenario=rollback", "scenario.fault.epoch=2", "scenario.fault.step=5"]
FAULT += ["scenario.step_deadline.at_least_ms=250"]  # a busy host must not make other steps late


@pytest.mark.parametrize("method", ["adopt", "copy"])
@pytest.mark.parametrize("kind", ["late_step", "nan_loss", "exception"])
def test_one_fault_is_one_restore_and_the_training_goes_on_alike(tmp_path: Path, kind: str, method: str) -> None:
    figures, hand = run_once(tmp_path, *FAULT, f"scenario.fault.kind={kind}", f"scenario.restore.method={method}")
    assert figures["tolaria.rollback.fast_hits_total"] == 1
    assert figures["tolaria.rollback.deadline_exceeded_total"] == 0
    assert figures["tolaria.rollback.diverged_losses"] == 0
    assert figures["tolaria.rollback.identical_losses"] == 7
    assert figures["tolaria.step.deadline_exceeded_total"] == (kind == "late_step")
    assert figures["tolaria.epochs.failed"] == 1
    assert len(hand.values("tolaria.rollback.restore_latency_ms")) == 1
    assert len(hand.values("tolaria.rollback.recovery_ms")) == 1


def test_the_evidence_is_three_hashes_of_which_the_bad_one_is_no_state_of_this_training(tmp_path: Path) -> None:
    _, hand = run_once(tmp_path, *FAULT)
    (restored,) = [attributes for name, attributes in hand.events if name == "tolaria.rollback.restored"]
    hashes = {restored["hash_before"], restored["hash_bad"], restored["hash_restored"]}
    assert len(hashes) == 3
    assert all(len(digest) == 32 for digest in hashes)


def test_the_deadline_is_calibrated_and_recorded(tmp_path: Path) -> None:
    figures, hand = run_once(tmp_path, *FAULT)
    (calibrated,) = [attributes for name, attributes in hand.events if name == "tolaria.step.deadline_calibrated"]
    assert figures["tolaria.step.deadline_ms"] >= 250
    assert calibrated["deadline_ms"] == pytest.approx(figures["tolaria.step.deadline_ms"], abs=0.001)
    assert calibrated["steps"] == 16


def test_the_outcome_is_that_of_the_undisturbed_training(tmp_path: Path) -> None:
    _, disturbed = run_once(tmp_path, *FAULT)
    _, steady = run_once(tmp_path, "scenario=steady_train")
    assert disturbed.context.outcome == steady.context.outcome


def test_a_fault_outside_of_the_training_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"fault should lie within 2 epochs of 8 steps. Found epoch 2, step 9"):
        runner("scenario=rollback", "scenario.fault.step=9")


def test_counters_are_kept_also_where_the_restore_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(state: TrainingState, snapshot: object) -> None:
        """Restores nothing."""

    hand, one = by_hand(tmp_path), runner(*FAULT)
    one.setup(hand.context)
    monkeypatch.setattr(TrainingState, "adopt", nothing)
    with pytest.raises(RestoreFailed):
        one.iterate(hand.context)
    assert hand.values("tolaria.rollback.failures_total") == [1]
    assert "tolaria.rollback.restore_failed" in hand.event_names()


@pytest.mark.parametrize("scenario", ["rollback", "steady_train"])
def test_the_envelope_is_made_of_valid_rules_on_declared_metrics(scenario: str) -> None:
    content = yaml.safe_load((data("conf") / "threshold" / f"{scenario}.yaml").read_text())
    rules = load_rules(content, load_catalogue())
    latency = next(rule for rule in rules if rule.subject == "tolaria.training.latency_ms" and rule.warning)
    assert (str(latency.warning), str(latency.critical)) == (">= 350", ">= 800")
    assert any(rule.event == "tolaria.rollback.restore_failed" for rule in rules)
