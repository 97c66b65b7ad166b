"""The write-ahead log of checkpoints: which of them may be restored.

A checkpoint is begun, written, brought to the disk, and only then committed, and only where a healthy step was made
from its state. What has no COMMIT is never restored, whatever lies in the folder.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy
import torch

from harness.journal.files import Files
from harness.journal.frames import Flaw
from harness.journal.log import Log
from harness.journal.recovery import Record

SEGMENT_BYTES = 256 << 10  # some three hundred checkpoints


class Kind(IntEnum):
    """What a record of the log says."""

    BEGIN = 1
    COMMIT = 2
    ABORT = 3
    FORGET = 4


def toolchain() -> dict[str, str]:
    """The versions that a state was computed with; another one may round differently."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}


@dataclass(frozen=True)
class Transaction:
    """A checkpoint that was begun. `model` is the hash of its layout: names, types and shapes of all tensors."""

    file: str
    model: str
    run_id: str
    step: int
    epoch: int
    toolchain: Mapping[str, str]
    number: int = 0  # the sequence number of its BEGIN


@dataclass(frozen=True)
class Target:
    """A checkpoint that may be restored. `seal` is the checksum of its index, `state` the hash of its tensors."""

    transaction: Transaction
    bytes: int
    seal: str
    state: str


class Wal:
    """Begins, commits and aborts transactions, each durably before it returns."""

    def __init__(
        self, folder: Path, *, strict: bool, files: Files | None = None, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Opens the log and finds what was committed.

        Raises:
            LogDamaged: strict, and something other than a torn tail is wrong.
            BenchmarkFailed: another process uses the log.
            StoreLost: the folder cannot be written.
        """
        self._log = Log(folder, segment_bytes=segment_bytes, strict=strict, files=files)
        self.torn: list[Flaw] = self._log.recovery.torn
        self.flaws: list[Flaw] = self._log.recovery.flaws
        self.targets, self.unfinished = _replay(self._log.recovery.records)

    @property
    def next_number(self) -> int:
        """The number of the next record, which names files uniquely."""
        return self._log.sequence

    def begin(self, transaction: Transaction) -> Transaction:
        """Says that a checkpoint is about to be written; gives the transaction its number.

        Raises:
            StoreLost: the log cannot be written.
        """
        begun = replace(transaction, number=self._log.sequence)
        self._append(Kind.BEGIN, asdict(begun))
        return begun

    def commit(self, transaction: Transaction, *, size: int, seal: str, state: str) -> Target:
        """Makes a checkpoint a restore target; its file must be on the disk, under its name.

        Raises:
            StoreLost: the log cannot be written; the checkpoint is none to restore.
        """
        self._append(Kind.COMMIT, {"begin": transaction.number, "bytes": size, "seal": seal, "state": state})
        target = Target(transaction, size, seal, state)
        self.targets.append(target)
        return target

    def abort(self, transaction: Transaction, reason: str) -> None:
        """Says that a checkpoint will never be one.

        Raises:
            StoreLost: the log cannot be written; the checkpoint is none all the same.
        """
        self._append(Kind.ABORT, {"begin": transaction.number, "reason": reason})

    def forget(self, after_step: int) -> None:
        """Says that training went back: what was committed at a later step is no target any more.

        Raises:
            StoreLost: the log cannot be written.
        """
        self._append(Kind.FORGET, {"after_step": after_step})
        self.targets = [target for target in self.targets if target.transaction.step <= after_step]

    def _append(self, kind: Kind, fields: Mapping[str, Any]) -> None:
        self._log.append(kind, json.dumps(fields, separators=(",", ":"), allow_nan=False).encode())

    def close(self) -> None:
        """Closes the log."""
        self._log.close()


def _replay(records: list[Record]) -> tuple[list[Target], list[Transaction]]:
    """The committed checkpoints in the order of their commits, and what was begun and never ended."""
    open_ones: dict[int, Transaction] = {}
    targets: list[Target] = []
    for record in records:
        fields = json.loads(record.payload)
        if record.kind == Kind.BEGIN:
            open_ones[fields["number"]] = Transaction(**fields)
            continue
        if record.kind == Kind.FORGET:
            targets = [target for target in targets if target.transaction.step <= fields["after_step"]]
            continue
        transaction = open_ones.pop(fields["begin"], None)
        if transaction is not None and record.kind == Kind.COMMIT:
            targets.append(Target(transaction, fields["bytes"], fields["seal"], fields["state"]))
    return targets, list(open_ones.values())
