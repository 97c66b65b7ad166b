"""A module of a user that cannot be imported."""

BROKEN = 1 / 0


def work() -> None: ...
