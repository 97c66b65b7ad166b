"""The index over all runs: SQLite, and only a cache. The manifests are the truth, and it is rebuilt from them at need.

It is rebuilt when it is missing, broken, or of another schema version. It is brought up to date when the folder of the
runs has changed since (a run was added, removed or copied in by hand), and for runs that it believes unfinished though
no process claims them. Where no file can be written or locked, the same index lives in memory for one command.
"""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.results.times import epoch

VERSION = 3
_SETTLED_S = 2.0  # a folder changed more recently than this may change again within one tick of its time stamp
_COLUMNS = {
    "run_id": "TEXT PRIMARY KEY",
    "created": "REAL NOT NULL",
    "created_at": "TEXT NOT NULL",
    "scenario": "TEXT NOT NULL",
    "device": "TEXT NOT NULL",
    "model": "TEXT",
    "status": "TEXT NOT NULL",
    "verdict": "TEXT",
    "exit_code": "INTEGER",
    "duration_s": "REAL",
    "completed_iterations": "INTEGER",
    "error_rate": "REAL",
    "host": "TEXT",
    "metric": "TEXT",
    "unit": "TEXT",
    "n": "INTEGER",
    "p50": "REAL",
    "config_digest": "TEXT",
    "work_digest": "TEXT",
    "eta_error": "REAL",
    "pinned": "INTEGER NOT NULL",
    "tags": "TEXT NOT NULL",
}
_OF_HEADLINE = ("metric", "unit", "n", "p50")
_SETUP = f"""
CREATE TABLE runs ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())}) WITHOUT ROWID;
CREATE INDEX by_created ON runs (created);
CREATE INDEX by_status ON runs (status, created);
CREATE INDEX by_scenario ON runs (scenario, created);
CREATE INDEX by_work ON runs (work_digest, created);
CREATE TABLE tags (tag TEXT, run_id TEXT, PRIMARY KEY (tag, run_id)) WITHOUT ROWID;
CREATE INDEX by_run ON tags (run_id);
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER);
PRAGMA user_version = {VERSION};
"""
_PUT = f"INSERT OR REPLACE INTO runs VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"  # noqa: S608 - constants
_BATCH = 1000  # runs that are read and put in at once: a hundred thousand in memory would slow the collector down
_FILES = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")
T = TypeVar("T")


class Index:
    """Finds runs by status, scenario, device, model, tag and time without reading their manifests."""

    def __init__(self, outputs: Path) -> None:
        self._outputs = outputs
        self._connection: sqlite3.Connection | None = None

    def put(self, manifest: Mapping[str, Any]) -> None:
        """Adds or replaces the row of a run; a failure only means that the index is rebuilt later."""
        try:
            self._do(lambda connection: self._insert(connection, [_row(manifest)]))
        except (sqlite3.Error, OSError):
            self._discard()

    def find(
        self,
        *,
        last: int | None = None,
        since: float | None = None,
        until: float | None = None,
        tag: str | None = None,
        **equal: str | Sequence[str] | None,
    ) -> list[dict[str, Any]]:
        """The newest runs that match, newest first; `equal` holds column = value, or one of several values."""
        where: list[str] = []
        values: list[Any] = []
        for name, wanted in equal.items():
            if wanted:
                choices = [wanted] if isinstance(wanted, str) else list(wanted)
                where.append(f"{_column(name)} IN ({', '.join('?' * len(choices))})")
                values += choices
        for clause, bound in (("created >= ?", since), ("created < ?", until)):
            if bound is not None:
                where.append(clause)
                values.append(bound)
        if tag is not None:
            where.append("run_id IN (SELECT run_id FROM tags WHERE tag = ?)")
            values.append(tag)
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        order = "ORDER BY created DESC, run_id DESC LIMIT ?"
        query = f"SELECT * FROM runs {condition} {order}"  # noqa: S608 - column names are checked, values are bound
        return self._read(
            lambda connection: connection.execute(query, [*values, -1 if last is None else last]).fetchall()
        )

    def ids_like(self, text: str, most: int = 10) -> list[str]:
        """The ids that begin with the text, or end with it after a dash."""
        begins = "SELECT * FROM runs WHERE run_id >= ? AND run_id < ? ORDER BY run_id DESC LIMIT ?"
        ends = "SELECT * FROM runs WHERE substr(run_id, ?) = ? LIMIT ?"  # reads all rows, so only after the other

        def query(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            found = connection.execute(begins, [text, text + chr(0x10FFFF), most]).fetchall()
            return found or connection.execute(ends, [-len(text) - 1, f"-{text}", most]).fetchall()

        return [row["run_id"] for row in self._read(query)]

    def rebuild(self) -> int:
        """Reads every manifest anew; the number of runs found."""
        self._discard()
        return len(self.find())

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, query: Callable[[sqlite3.Connection], list[sqlite3.Row]]) -> list[dict[str, Any]]:
        def synced(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            self._sync(connection)
            return query(connection)

        return [{**row, "tags": json.loads(row["tags"])} for row in map(dict, self._do(synced))]

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs the work on the index file; on a new one when it is broken; else in memory."""
        for _ in range(2):
            try:
                return work(self._open(str(self._outputs / _FILES[0])))
            except (sqlite3.Error, OSError) as error:
                self._tell(error)
                self._discard()
        return work(self._open(":memory:"))

    def _tell(self, error: Exception) -> None:
        """Says that the file is damaged or of another version; one that is locked or not writable is neither."""
        if type(error) is sqlite3.DatabaseError:
            import logging  # late: a sound index needs none

            path = self._outputs / _FILES[0]
            logging.getLogger(__name__).warning("%s: %s; it is read anew from the manifests", path, error)

    def _open(self, place: str) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if place != ":memory:" and not self._outputs.is_dir():
            place = ":memory:"  # reading must not make a folder
        connection = sqlite3.connect(place, timeout=5.0, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    @staticmethod
    def _prepare(connection: sqlite3.Connection) -> None:
        """Makes the tables of a new file, under its lock; another version is an error, which starts it anew."""
        if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"the index is of version {version}")
            if version == 0:
                for statement in _SETUP.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _discard(self) -> None:
        self.close()
        for name in _FILES:
            with contextlib.suppress(OSError):
                (self._outputs / name).unlink()

    def _sync(self, connection: sqlite3.Connection) -> None:
        """Adds what the folder has more, drops what it has less, and looks again at runs without an owner."""
        runs, active = self._outputs / "runs", self._outputs / "active"
        try:
            changed = runs.stat().st_mtime_ns
        except OSError:
            return
        seen = connection.execute("SELECT value FROM meta WHERE key = 'runs_changed_ns'").fetchone()
        unfinished = connection.execute("SELECT run_id FROM runs WHERE status IN ('pending', 'running')").fetchall()
        stale = {row[0] for row in unfinished if not (active / row[0]).exists()}
        added: set[str] = set()
        if seen is None or seen[0] != changed:
            known = {row[0] for row in connection.execute("SELECT run_id FROM runs")}
            present = set(os.listdir(runs))
            added = present - known
            self._remove(connection, known - present)
        broken: set[str] = set()
        pending = sorted(added | stale)  # as they were made, which is how they lie on the disk and in the tables
        for at in range(0, len(pending), _BATCH):
            rows, unread = _rows(runs, pending[at : at + _BATCH])
            self._insert(connection, rows)
            broken |= unread
        settled = time.time() - changed / 1e9 > _SETTLED_S and not broken & added
        stamp = changed if settled else 0
        if seen is None or seen[0] != stamp:  # a query that finds nothing new writes nothing
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('runs_changed_ns', ?)", [stamp])

    @staticmethod
    def _remove(connection: sqlite3.Connection, run_ids: set[str]) -> None:
        for table in ("runs", "tags"):
            connection.executemany(f"DELETE FROM {table} WHERE run_id = ?", [[run_id] for run_id in run_ids])  # noqa: S608

    @staticmethod
    def _insert(connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_PUT, rows)
            connection.executemany("DELETE FROM tags WHERE run_id = :run_id", rows)
            pairs = [[tag, row["run_id"]] for row in rows for tag in json.loads(row["tags"])]
            connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?)", pairs)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _rows(runs: Path, run_ids: Iterable[str]) -> tuple[list[dict[str, Any]], set[str]]:
    """The rows of these runs, and the runs that have no manifest that can be read."""
    found, broken = [], set()
    for run_id in run_ids:
        try:
            with open(f"{runs}/{run_id}/manifest.json", "rb") as file:  # a path object would cost as much as the read
                found.append(_row(json.loads(file.read())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            broken.add(run_id)
    return found, broken


def _row(manifest: Mapping[str, Any]) -> dict[str, Any]:
    headline = manifest.get("headline") or {}
    return {
        **{name: manifest.get(name) for name in _COLUMNS},
        **{name: headline.get(name) for name in _OF_HEADLINE},
        "eta_error": (manifest.get("eta") or {}).get("error"),
        "created": epoch(manifest["created_at"]),
        "pinned": int(manifest.get("pinned", False)),
        "tags": json.dumps(list(manifest["tags"])),
    }


def _column(name: str) -> str:
    if name not in _COLUMNS:
        raise ValueError(f"the index has no column {name!r}")
    return name
