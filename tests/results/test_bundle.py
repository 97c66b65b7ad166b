import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, RefusedError
from harness.results import bundle
from harness.results.canonical import digest
from harness.results.history import History
from harness.results.store import Store
from tests.results.documents import a_run, a_stored_run, measured_so_far


@pytest.fixture
def packed(tmp_path: Path) -> dict[str, Any]:
    """A bundle of one run with JSON, text and bytes in it."""
    store = Store(tmp_path)
    run = a_run(store)
    measured_so_far(run.folder, 3)
    store.close_run(run.run_id, "cancelled", exit_code=130, reason={"kind": "cancelled", "message": "x"})
    history = History(tmp_path)
    found = bundle.build(history, [run.run_id])
    history.close()
    store.close()
    return found


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the digest that fits it: an attacker can compute one too."""
    stated = {key: value for key, value in document.items() if key != "digest"}
    return {**stated, "digest": digest(stated)}


def test_a_bundle_gives_back_every_byte(packed: dict[str, Any], tmp_path: Path) -> None:
    again = bundle.load(json.dumps(packed).encode(), "bundle")
    ((run_id, files),) = bundle.unpack(again, "bundle").items()
    folder = tmp_path / "runs" / run_id
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
    encodings = {file["name"]: file["encoding"] for file in packed["runs"][0]["files"]}
    assert encodings == {"manifest.json": "json", "config.yaml": "utf-8", "samples.bin": "base64"}


def test_links_and_leftovers_are_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _, known = a_stored_run(store)
    folder = store.runs / known["run_id"]
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("s")
    (folder / "link").symlink_to(tmp_path / "secret" / "key")
    (folder / "links").symlink_to(tmp_path / "secret")
    (folder / ".half.tmp").write_text("x")
    (folder / "inner").mkdir()
    (folder / "inner" / "more.txt").write_text("kept")
    history = History(tmp_path)
    names = [file["name"] for file in bundle.build(history, [known["run_id"]])["runs"][0]["files"]]
    history.close()
    store.close()
    assert "inner/more.txt" in names
    assert not {"link", "links/key", ".half.tmp"} & set(names)


def test_a_run_that_has_not_ended_is_not_exported(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = a_run(store)
    history = History(tmp_path)
    with pytest.raises(RefusedError, match="it is running"):
        bundle.build(history, [run.run_id])
    history.close()
    store.close()


OUTSIDE = [
    "../evil",
    "a/../../evil",
    "/etc/passwd",
    "C:/evil",
    "c:evil",
    "..\\evil",
    "a\\b",
    "a//b",
    "./a",
    "a/.",
    ".hidden",
    "a/.ssh",
    "a\x00b",
    "a\nb",
    "CON",
    "nul.txt",
    "a. ",
    "dot.",
    "x" * 300,
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_points_outside_is_refused(name: str, packed: dict[str, Any]) -> None:
    packed["runs"][0]["files"][0]["name"] = name
    with pytest.raises(RefusedError, match="could point outside the run's folder"):
        bundle.unpack(sealed(packed), "bundle")
    packed["runs"][0]["files"][0]["name"] = "fine.json"
    packed["runs"][0]["run_id"] = name
    with pytest.raises(RefusedError):
        bundle.unpack(sealed(packed), "bundle")


def _changed_content(document: dict[str, Any]) -> dict[str, Any]:
    document["runs"][0]["files"][0]["content"] = "changed: 1\n"
    return sealed(document)


def _changed_anywhere(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "host": "other"}


def _twice(document: dict[str, Any]) -> dict[str, Any]:
    document["runs"].append(document["runs"][0])
    return sealed(document)


def _file_twice(document: dict[str, Any]) -> dict[str, Any]:
    files = document["runs"][0]["files"]
    files.append({**files[0], "name": files[0]["name"].upper()})
    return sealed(document)


def _unknown_key(document: dict[str, Any]) -> dict[str, Any]:
    return sealed({**document, "run": "rm -rf"})


def _newer(document: dict[str, Any]) -> dict[str, Any]:
    return sealed({**document, "schema": "harness.export/99"})


def _no_base64(document: dict[str, Any]) -> dict[str, Any]:
    file = next(file for file in document["runs"][0]["files"] if file["encoding"] == "base64")
    file["content"] = "!!!"
    return sealed(document)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_changed_content, "does not have its digest"),
        (_changed_anywhere, "does not have the digest that it states"),
        (_twice, "is there twice"),
        (_file_twice, "is there twice"),
        (_unknown_key, "is no whole bundle: export: Additional properties"),
        (_newer, "reads up to harness.export/1"),
        (_no_base64, "its content cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_bundle_is_refused_with_its_reason(
    damage: Callable[[dict[str, Any]], dict[str, Any]], message: str, packed: dict[str, Any]
) -> None:
    with pytest.raises(HarnessError) as caught:
        bundle.unpack(damage(packed), "bundle")
    assert message in str(caught.value)


def test_what_is_no_json_or_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bundle.load(gzip.compress(b"[1]"), "x") == [1]
    with pytest.raises(RefusedError, match="is no JSON"):
        bundle.load(b"\x80", "x")
    with pytest.raises(RefusedError, match="is no JSON"):
        bundle.load(b"[" * 100_000, "x")
    with pytest.raises(RefusedError, match="cannot be unpacked"):
        bundle.load(gzip.compress(b"[1]")[:5] + b"damaged", "x")
    monkeypatch.setattr(bundle, "LARGEST_BYTES", 1000)
    with pytest.raises(RefusedError, match="unpacks to more than"):
        bundle.load(gzip.compress(b" " * 2000), "x")
