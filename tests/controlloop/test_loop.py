import pytest

from harness.controlloop.emergency import Halted
from harness.controlloop.faults import FaultKind
from harness.controlloop.reference import Reference, undisturbed
from harness.controlloop.ring import Method
from harness.controlloop.trainer import Trainer
from harness.errors import BenchmarkFailed, Cancelled
from tests.controlloop.trainings import EPOCHS, STEPS, TRANSFORMER, Told, loop, trainer

KINDS: list[FaultKind] = ["late_step", "nan_loss", "exception"]


def reference(training: Trainer) -> Reference:
    """The undisturbed training; afterwards the trainer is as it was."""
    first = training.state.capture(training.state.new_arena())
    found = undisturbed(training, training.total_steps)
    training.state.copy_back(first)
    return found


def test_without_a_fault_the_control_loop_trains_as_the_bare_trainer_does() -> None:
    training, told = trainer(), Told()
    expected = reference(training)
    assert loop(training, told).run() == expected.losses
    assert training.state.digest() == expected.digests[-1]
    assert told.events == []


@pytest.mark.parametrize("method", ["adopt", "copy"])
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_fault_the_losses_are_the_bits_of_the_undisturbed_training(kind: FaultKind, method: Method) -> None:
    training, told = trainer(), Told()
    expected = reference(training)
    control = loop(training, told, kind=kind, method=method, expected=expected.digests)
    assert control.run() == expected.losses
    counters = control.counters()
    assert counters["tolaria.step.deadline_exceeded_total"] == (kind == "late_step")
    assert counters["tolaria.rollback.fast_hits_total"] == 1
    assert counters["tolaria.rollback.deadline_exceeded_total"] == 0
    assert (counters["tolaria.epochs.total"], counters["tolaria.epochs.failed"]) == (2, 1)
    (event,) = told.named("tolaria.rollback.restored")
    assert (event["from_step"], event["to_step"]) == (12, 9)
    assert event["hash_before"] == expected.digests[12]
    assert event["hash_restored"] == expected.digests[9]
    assert event["hash_bad"] not in expected.digests


def test_the_transformer_recovers_too() -> None:
    training = trainer(TRANSFORMER)
    expected = reference(training)
    assert loop(training, Told(), kind="nan_loss", expected=expected.digests).run() == expected.losses


@pytest.mark.parametrize("kind", KINDS)
def test_rewound_the_same_training_happens_again(kind: FaultKind) -> None:
    training, told = trainer(), Told()
    control = loop(training, told, kind=kind)
    first, digest = control.run(), training.state.digest()
    for _ in range(2):
        control.rewind()
        assert control.run() == first
        assert training.state.digest() == digest
        assert control.counters()["tolaria.rollback.fast_hits_total"] == 1


def test_every_epoch_is_told_once_and_nothing_is_told_at_the_end_of_training() -> None:
    told = Told()
    loop(trainer(), told).run()
    for name in ("latency_ms", "loss", "accuracy", "samples_per_s", "evaluation_ms"):
        values = told.samples[f"tolaria.training.{name}"]
        assert len(values) == EPOCHS
    assert min(told.samples["tolaria.training.latency_ms"]) > 0
    assert len(told.samples["tolaria.hook.latency_ms"]) == EPOCHS
    assert len(told.samples["tolaria.step.latency_ms"]) == EPOCHS * STEPS


def test_a_late_step_keeps_its_real_latency_as_a_sample() -> None:
    told = Told()
    loop(trainer(), told, kind="late_step").run()
    assert sum(value > 250 for value in told.samples["tolaria.step.latency_ms"]) == 1


def test_a_loss_that_is_no_number_is_no_sample() -> None:
    told = Told()
    loop(trainer(), told, kind="nan_loss").run()
    assert len(told.samples["tolaria.step.loss"]) == EPOCHS * STEPS + 3


def test_the_recovery_ends_with_the_next_healthy_step() -> None:
    told = Told()
    loop(trainer(), told, kind="exception").run()
    (recovery,) = told.samples["tolaria.rollback.recovery_ms"]
    assert recovery >= told.samples["tolaria.rollback.restore_latency_ms"][0]


def test_a_fault_that_comes_back_ends_the_training() -> None:
    training, told = trainer(), Told()
    control = loop(training, told)
    training.healthy = lambda step: training.progress.step < 10  # type: ignore[method-assign]
    with pytest.raises(BenchmarkFailed, match=r"step 10 failed \(not_finite\) after 3 restores"):
        control.run()
    assert control.counters()["tolaria.rollback.fast_hits_total"] == 3


def test_an_error_that_nobody_planned_is_named_when_it_does_not_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    training = trainer()
    control = loop(training, Told())

    def broken(batch: object) -> None:
        raise RuntimeError("the model is broken")

    monkeypatch.setattr(training, "backward", broken)
    with pytest.raises(BenchmarkFailed, match="step 0 failed") as caught:
        control.run()
    assert str(caught.value.__cause__) == "the model is broken"


def test_a_cancelled_training_ends_between_two_steps() -> None:
    told = Told(cancelled=True)
    with pytest.raises(Cancelled):
        loop(trainer(), told).run()
    assert "tolaria.step.latency_ms" not in told.samples


def test_an_epoch_that_a_restore_reopens_is_told_once() -> None:
    training, told = trainer(), Told()
    failed = []
    original = training.healthy

    def once_after_the_boundary(step: object) -> bool:
        if training.progress.step == STEPS and not failed:
            failed.append(step)
            return False
        return original(step)  # type: ignore[arg-type]

    training.healthy = once_after_the_boundary  # type: ignore[method-assign]
    control = loop(training, told)
    control.run()
    assert len(failed) == 1
    assert len(told.samples["tolaria.training.latency_ms"]) == EPOCHS
    assert control.counters()["tolaria.epochs.total"] == EPOCHS


def test_a_first_step_that_fails_goes_back_to_what_the_training_began_with() -> None:
    training, told = trainer(), Told()
    expected = reference(training)
    control = loop(training, told, kind="exception", expected=expected.digests)
    control._fault.at = 0
    assert control.run() == expected.losses
    assert [event["to_step"] for event in told.named("tolaria.rollback.restored")] == [0]


def test_a_missed_deadline_that_no_fault_explains_is_counted_as_unexpected() -> None:
    training = trainer()
    control = loop(training, Told(), kind="late_step")
    control.run()
    assert control.counters()["tolaria.step.deadline_unexpected_total"] == 0
    control.deadline_exceeded += 1
    assert control.counters()["tolaria.step.deadline_unexpected_total"] == 1


def test_a_failed_epoch_is_elevated_and_a_clean_one_clears_it() -> None:
    told = Told()
    control = loop(trainer(), told, kind="exception")
    control._fault.at = 0
    control.run()
    (risen,) = told.named("tolaria.emergency.escalated")
    (cleared,) = told.named("tolaria.emergency.cleared")
    assert (risen["now"], cleared["before"]) == ("ELEVATED", "ELEVATED")
    assert control.emergency.halts == 0


def test_three_failed_epochs_in_a_row_halt() -> None:
    told = Told()
    control = loop(trainer(), told)
    control.emergency.close_epoch(failed=True)
    control.emergency.close_epoch(failed=True)
    control.epochs_failed.add(0)
    with pytest.raises(Halted):
        control.run()
    assert control.epochs_done == 1
