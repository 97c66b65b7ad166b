"""The compiled truth server, made once by the system's compiler and kept for the next run."""

import hashlib
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from harness.process.children import Child

SOURCE = Path(__file__).with_name("server.c")
COMPILERS = ("cc", "gcc", "clang")
FORCED_OFF = "HARNESS_FORCE_NO_COMPILER"
_OPTIONS = ("-O2", "-std=gnu11")


def cache_folder() -> Path:
    """Where what is compiled is kept; it can be deleted at any time.

    Raises:
        OSError: it cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "harness" / "truth"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compiled(folder: Path | None = None) -> tuple[Path | None, str]:
    """The server's program and nothing, or None and why there is none: no compiler, no Linux, an error of it.

    The name holds the digest of source and options, so a changed source is compiled anew; several at once do it each
    for themselves, and the last one's program stays.
    """
    if not sys.platform.startswith("linux"):
        return None, "the compiled server needs Linux"
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None or os.environ.get(FORCED_OFF, "") not in ("", "0"):
        return None, f"no C compiler was found (looked for {', '.join(COMPILERS)})"
    source = SOURCE.read_bytes()
    digest = hashlib.sha256(source + " ".join((*_OPTIONS, platform.machine())).encode()).hexdigest()[:16]
    try:
        program = (folder or cache_folder()) / f"truth-{digest}"
        return (program, "") if program.exists() else _compile(compiler, program)
    except OSError as error:
        return None, f"the compiled server cannot be kept: {error}"


def _compile(compiler: str, program: Path) -> tuple[Path | None, str]:
    descriptor, unfinished = tempfile.mkstemp(dir=program.parent, prefix="unfinished-")
    os.close(descriptor)
    with tempfile.TemporaryFile() as said:
        done = Child([compiler, *_OPTIONS, "-o", unfinished, str(SOURCE)], stderr=said.fileno()).wait()
        if done.code:
            said.seek(0)
            Path(unfinished).unlink(missing_ok=True)
            return None, f"{compiler} failed: {said.read(400).decode('utf-8', 'replace').strip()}"
    Path(unfinished).chmod(0o700)
    Path(unfinished).replace(program)
    return program, ""
