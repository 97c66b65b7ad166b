import math
import time

import pytest

from harness.controlloop.faults import Fault, FaultPlan, PlannedError
from tests.controlloop.trainings import STEPS, fault, trainer


def test_a_fault_is_due_at_its_step_and_only_once() -> None:
    planned = fault("nan_loss", step=5)
    assert [step for step in range(16) if planned.due(step)] == [12]
    planned.before_forward(trainer())
    assert not planned.due(12)
    planned.rewind()
    assert planned.due(12)


def test_a_nan_in_one_weight_becomes_a_nan_loss_and_a_bad_state() -> None:
    training = trainer()
    assert math.isnan(training.step(fault("nan_loss")).loss)
    assert any(parameter.isnan().any() for parameter in training.model.parameters())


def test_the_exception_leaves_half_of_the_weights_updated() -> None:
    training = trainer()
    weights = [parameter.detach().clone() for parameter in training.model.parameters()]
    with pytest.raises(PlannedError):
        training.step(fault("exception"))
    changed = [bool((one != other).any()) for one, other in zip(weights, training.model.parameters(), strict=True)]
    assert any(changed[: len(changed) // 2])
    assert not any(changed[len(changed) // 2 :])


def test_a_late_step_really_works_past_its_deadline() -> None:
    training, planned = trainer(), fault("late_step")
    cpu = time.process_time()
    step = training.step(planned, deadline_ns=30_000_000)
    assert step.latency_ms > 30
    assert planned.extra_passes > 0
    assert time.process_time() > cpu


def test_the_extra_work_of_a_late_step_leaves_another_state_than_the_step_alone() -> None:
    late, plain = trainer(), trainer()
    late.step(fault("late_step"), deadline_ns=20_000_000)
    plain.step()
    assert late.state.digest() != plain.state.digest()


def test_of_several_kinds_each_training_has_the_next_one() -> None:
    planned = Fault(FaultPlan(epoch=1, step=1, kind=["nan_loss", "exception"]), STEPS)
    kinds = []
    for _ in range(3):
        planned.rewind()
        kinds.append(planned.kind)
    assert kinds == ["nan_loss", "exception", "nan_loss"]
