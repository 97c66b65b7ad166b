"""The commit that the current folder is at, and whether it was changed since."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Run = Callable[[Sequence[str]], str | None]
_STATUS = ("git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=no")


def describe(folder: Path, run: Run | None = None) -> dict[str, Any]:
    """Commit, branch and whether tracked files were changed, as git says; without git, what `.git` says.

    A folder that is no checkout gives a value called unavailable.
    """
    top = _find_git(folder)
    if top is None:
        return {"value": None, "status": "unavailable", "reason": "not-a-checkout: no .git here or above"}
    status = run(_STATUS) if run is not None else None
    if status is not None:
        return _from_status(status)
    git = _git_folder(top)
    commit, branch = _from_files(git) if git is not None else (None, None)
    reason = "git was not asked" if run is None else "git is missing, failed, or took too long"
    dirty = {"value": None, "status": "unavailable", "reason": f"no-git: {reason}"}
    return {"commit": commit, "branch": branch, "dirty": dirty}


def _from_status(status: str) -> dict[str, Any]:
    lines = status.splitlines()
    head = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch.") and " " in line[2:])
    commit, branch = head.get("branch.oid"), head.get("branch.head")
    return {
        "commit": None if commit == "(initial)" else commit,
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(not line.startswith("#") for line in lines),
    }


def _find_git(folder: Path) -> Path | None:
    return next((above / ".git" for above in (folder, *folder.parents) if (above / ".git").exists()), None)


def _git_folder(git: Path) -> Path | None:
    """The real folder: in a worktree or submodule `.git` is a file that names it."""
    if git.is_dir():
        return git
    text = _read(git)
    return (git.parent / text[8:].strip()).resolve() if text and text.startswith("gitdir: ") else None


def _from_files(git: Path) -> tuple[str | None, str | None]:
    head = _read(git / "HEAD")
    if head is None:
        return None, None
    if not head.startswith("ref: "):
        return head, None
    reference = head[5:].strip()
    common = _read(git / "commondir")  # a worktree keeps its branches with the main checkout
    shared = (git / common).resolve() if common else git
    commit = _read(git / reference) or _read(shared / reference) or _packed(shared, reference)
    return commit, reference.removeprefix("refs/heads/")


def _packed(git: Path, reference: str) -> str | None:
    lines = (_read(git / "packed-refs") or "").splitlines()
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {reference}")), None)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
