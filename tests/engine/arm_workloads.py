"""Work for comparisons whose figures are counted and not timed, so that every answer is known beforehand."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from harness.runner import Context
from harness.scenarios.bench.counted import CountedWork


class Counted:
    """Does `units` pieces of real work and tells how many it did."""

    def __init__(self, *, units: int) -> None:
        self._work = CountedWork(units=units, kind="hash")
        self._units = units

    def setup(self, context: Context) -> None:
        self._work.setup(context)
        sys.stdout.write("set up\n")
        sys.stdout.flush()

    def iterate(self, context: Context) -> Mapping[str, float]:
        self._work.iterate(context)
        return {"test.units": float(self._units), "test.rate": 1000.0 / self._units}

    def teardown(self) -> None:
        pass


class Cold:
    """Its first call of two is dear, as that of a process that was woken is; the figure says which call it was."""

    def __init__(self) -> None:
        self._calls = 0

    def setup(self, context: Context) -> None:
        pass

    def iterate(self, context: Context) -> Mapping[str, float]:
        self._calls += 1
        return {"test.units": 2.0 if self._calls % 2 else 1.0}

    def teardown(self) -> None:
        pass


class Faulty:
    """Goes wrong in its own way at a counted call."""

    def __init__(self, *, kind: str, at: int) -> None:
        self._kind, self._at, self._calls = kind, at, 0

    def setup(self, context: Context) -> None:
        if self._at == 0:
            raise RuntimeError("cannot be set up")

    def iterate(self, context: Context) -> Mapping[str, float] | None:
        self._calls += 1
        if self._calls == self._at:
            match self._kind:
                case "raises":
                    raise ValueError("went wrong")
                case "exits":
                    os._exit(7)
                case "hangs":
                    time.sleep(3600)  # the hang itself
                case "silent":
                    return None
        return {"test.units": 1.0}

    def teardown(self) -> None:
        pass


class Waits:
    """Says by a file that it is at work, then waits to be ended."""

    def __init__(self, *, sign: str, at: int) -> None:
        self._sign, self._at, self._calls = Path(sign), at, 0

    def setup(self, context: Context) -> None:
        pass

    def iterate(self, context: Context) -> Mapping[str, float]:
        self._calls += 1
        if self._sign.exists() and self._calls == self._at:
            self._sign.with_suffix(".reached").touch()
            time.sleep(3600)  # the hang in which it is killed
        return {"test.units": 1.0}

    def teardown(self) -> None:
        pass
