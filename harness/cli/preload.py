"""A quick guess at what the measured process will import, made before the configuration is composed.

The guess only decides how early an import starts: the engine asks for the right modules in any case.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from harness.paths import data

_SCENARIO = re.compile(r"^\+*(scenario|suite|experiment)=(.+)$")
_PRELOAD = re.compile(r"^\s*(?:worker:\s*\{.*)?preload:\s*\[([^\]]*)\]", re.MULTILINE)
ALWAYS = ("harness.engine.worker", "harness.config.build")


def guess(overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> list[str]:
    """The modules that the YAML files of the named scenarios ask to be imported ahead."""
    found: list[str] = list(ALWAYS)
    for override in overrides:
        match = _SCENARIO.match(override)
        if match is None:
            continue
        group, names = match.groups()
        for name in names.split(","):
            for folder in (data("conf"), *config_dirs):
                found += _read(folder / group / f"{name.strip()}.yaml")
    return list(dict.fromkeys(found))


def _read(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    return [name.strip() for part in _PRELOAD.findall(text) for name in part.split(",") if name.strip()]
