"""The emergency controller: four levels that only rise until a clean epoch, and a halt at the last."""

from enum import IntEnum

from harness.controlloop.telemetry import Telemetry


class Level(IntEnum):
    """How bad it is. At HALT the training ends."""

    CLEAR = 0
    NOTICE = 1
    ELEVATED = 2
    CONSERVATIVE = 3
    HALT = 4


class Halted(Exception):
    """The controller has ended the training; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the emergency controller has halted the training: {reason}")
        self.reason = reason


FAILED_EPOCHS_TO_HALT = 3


class EmergencyController:
    """Counts per training."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.rewind()

    def rewind(self) -> None:
        """Forgets everything of the training before."""
        self.level = Level.CLEAR
        self.halts = 0
        self._failed_in_a_row = 0

    def escalate(self, level: Level, reason: str) -> None:
        """Rises to a level; a lower one than the present changes nothing.

        Raises:
            Halted: the level is HALT.
        """
        if level <= self.level:
            return
        before, self.level = self.level, level
        self._telemetry.event(
            "tolaria.emergency.escalated",
            level="critical" if level is Level.HALT else "warning",
            before=before.name,
            now=level.name,
            reason=reason,
        )
        if level is Level.HALT:
            self.halts += 1
            self._telemetry.event("tolaria.emergency.halt", level="critical", reason=reason)
            raise Halted(reason)

    def rollback_was_late(self) -> None:
        """A restore missed its deadline: nothing below can be relied on any more.

        Raises:
            Halted: always.
        """
        self.escalate(Level.HALT, "rollback_deadline")

    def close_epoch(self, *, failed: bool) -> None:
        """Takes note of an epoch's end: a failed one is elevated, three in a row halt, a clean one clears.

        Raises:
            Halted: it was the third failed epoch in a row.
        """
        self._failed_in_a_row = self._failed_in_a_row + 1 if failed else 0
        if self._failed_in_a_row >= FAILED_EPOCHS_TO_HALT:
            self.escalate(Level.HALT, "failed_epochs")
        elif failed:
            self.escalate(Level.ELEVATED, "failed_epoch")
        elif self.level is not Level.CLEAR:
            self._telemetry.event("tolaria.emergency.cleared", before=self.level.name)
            self.level = Level.CLEAR
