"""What the control loop tells about itself, and to whom."""

from typing import Any, Protocol


class Telemetry(Protocol):
    """Takes samples and events; the context of a run is one."""

    def record(self, metric: str, value: float) -> None:
        """Adds a sample of a declared metric."""

    def event(self, name: str, /, **attributes: Any) -> None:
        """Says that something happened."""

    @property
    def cancelled(self) -> bool:
        """Whether the training is to end now."""


class Silent:
    """Takes everything and keeps nothing: for trainings that only serve as a reference."""

    cancelled = False

    def record(self, metric: str, value: float) -> None:
        """Drops the sample."""

    def event(self, name: str, /, **attributes: Any) -> None:
        """Drops the event."""
