"""The source text behind a target, found by path: nothing is imported, so nothing of a user's runs."""

import re
from collections.abc import Sequence
from pathlib import Path

_IMPORT = re.compile(
    r"^(?:from|import) (harness\.(?:scenarios|controlloop|llm)[\w.]*)(?: import ([\w, ]+))?", re.MULTILINE
)
_PACKAGE = Path(__file__).resolve().parents[1]


def names_in_code(target: str, roots: Sequence[Path]) -> str:
    """The text of the target's module, and of the harness's modules for scenarios that it uses."""
    pending, seen, texts = [target], set[Path](), []
    while pending:
        path = find_source(pending.pop(), [_PACKAGE.parent, *roots])
        if path is None or path in seen:
            continue
        seen.add(path)
        text = path.read_text(encoding="utf-8", errors="replace")
        texts.append(text)
        for module, names in _IMPORT.findall(text):
            pending += [module, *(f"{module}.{name.strip()}" for name in names.split(",") if name.strip())]
    return "\n".join(texts)


def find_source(dotted: str, roots: Sequence[Path]) -> Path | None:
    """The file of the longest part of a dotted name that is a module below one of the roots."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        below = Path(*parts[:length])
        for root in roots:
            for path in (root / below.with_suffix(".py"), root / below / "__init__.py"):
                if path.is_file():
                    return path
    return None
