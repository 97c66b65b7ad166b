"""The journal keeps every acknowledged line, whatever happens to its writer."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreLost
from harness.journal.lines import Journal, read_journal

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.jsonl")
    for number in range(5):
        journal.append({"number": number})
    journal.close()
    assert read_journal(tmp_path / "events.jsonl") == ([{"number": n} for n in range(5)], 0)


@given(cut=st.integers(min_value=0, max_value=200))
def test_a_file_cut_anywhere_gives_its_whole_lines_and_says_what_was_torn(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "events.jsonl"
    journal = Journal(path)
    for number in range(8):
        journal.append({"number": number, "text": "x" * 10})
    journal.close()
    content = path.read_bytes()[: min(cut, path.stat().st_size)]
    path.write_bytes(content)
    records, broken = read_journal(path)
    whole = content.count(b"\n")
    assert [record["number"] for record in records[:whole]] == list(range(whole))
    assert len(records) + broken == whole + (1 if content and not content.endswith(b"\n") else 0)


def test_a_writer_after_a_torn_tail_starts_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"number":0}\n{"num')
    journal = Journal(path)
    journal.append({"number": 1})
    journal.close()
    assert read_journal(path) == ([{"number": 0}, {"number": 1}], 1)


def test_a_writer_killed_at_any_record_loses_nothing_acknowledged(tmp_path: Path) -> None:
    program = (
        "import sys, os, signal; from pathlib import Path; from harness.journal.lines import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(int(sys.argv[2])):\n"
        "    journal.append({'number': number}); os.write(1, b'%d\\n' % number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for records in (0, 1, 7, 100):
        path = tmp_path / f"{records}.jsonl"
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), str(records)], stdout=subprocess.PIPE, cwd=ROOT, check=False
        )
        assert done.returncode == -signal.SIGKILL
        acknowledged = [int(line) for line in done.stdout.split()]
        assert [record["number"] for record in read_journal(path)[0]] == acknowledged


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "full").symlink_to(full)
    descriptor = os.open(full, os.O_WRONLY)
    journal = Journal.__new__(Journal)
    journal.path, journal._descriptor, journal._dirty = full, descriptor, False
    with pytest.raises(StoreLost, match="No space left"):
        journal.append({"number": 1})
    os.close(descriptor)


def test_a_number_that_json_does_not_have_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.jsonl")
    with pytest.raises(ValueError, match="Out of range"):
        journal.append({"value": float("nan")})
    journal.close()
    assert json.dumps(read_journal(tmp_path / "events.jsonl")) == "[[], 0]"
