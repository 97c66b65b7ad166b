"""The emergency level only rises until a clean epoch, and the training halts at its top."""

from typing import Any

import pytest

from harness.controlloop.emergency import EmergencyController, Halted, Level


class Recording:
    cancelled = False

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def record(self, metric: str, value: float) -> None:
        raise AssertionError("the controller records no samples")

    def event(self, name: str, /, **attributes: Any) -> None:
        self.events.append((name, attributes))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]


@pytest.fixture
def told() -> Recording:
    return Recording()


def test_a_late_rollback_halts_at_once(told: Recording) -> None:
    controller = EmergencyController(told)
    with pytest.raises(Halted, match="rollback_deadline"):
        controller.rollback_was_late()
    assert told.names == ["tolaria.emergency.escalated", "tolaria.emergency.halt"]
    assert controller.halts == 1


def test_a_lower_level_changes_nothing(told: Recording) -> None:
    controller = EmergencyController(told)
    controller.escalate(Level.CONSERVATIVE, "breaker_open")
    controller.escalate(Level.ELEVATED, "failed_epoch")
    assert controller.level is Level.CONSERVATIVE
    assert told.names == ["tolaria.emergency.escalated"]


def test_a_clean_epoch_clears_and_three_failed_ones_halt(told: Recording) -> None:
    controller = EmergencyController(told)
    controller.close_epoch(failed=True)
    controller.close_epoch(failed=True)
    controller.close_epoch(failed=False)
    assert controller.level is Level.CLEAR
    controller.close_epoch(failed=True)
    controller.close_epoch(failed=True)
    with pytest.raises(Halted, match="failed_epochs"):
        controller.close_epoch(failed=True)
    assert told.names[-1] == "tolaria.emergency.halt"


def test_a_new_training_starts_clear(told: Recording) -> None:
    controller = EmergencyController(told)
    with pytest.raises(Halted):
        controller.rollback_was_late()
    controller.rewind()
    assert (controller.level, controller.halts) == (Level.CLEAR, 0)
