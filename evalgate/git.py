"""What git says of the project: asked through the `git` command, with lists of arguments and never a shell."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

TIMEOUT_S = 60.0
FIELD_CHARS = 3
"""Of `git status --porcelain=v1 -z`: two letters and a space before each path."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The state of a working tree."""

    commit: str | None
    """None: nothing was committed yet."""
    top: Path
    """The folder of the repository."""
    changed: tuple[str, ...]
    """Paths, from the top of the repository, that are not as they were committed; untracked ones too."""


def tree_of(folder: Path, besides: Collection[Path] = ()) -> Tree | None:
    """Return the state of the tree that a folder is in, `besides` files and folders left out; None: no repository.

    Raises:
        BadInput: git is there, and fails.

    """
    try:
        inside = _git(folder, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return None
    if inside.returncode != 0:
        if b"not a git repository" in inside.stderr:
            return None
        raise BadInput(f"git does not tell the state of {folder}: {_words(inside)}")
    top = Path(os.fsdecode(inside.stdout.rstrip(b"\n")))
    head = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    status = _git(folder, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    if status.returncode != 0:
        raise BadInput(f"git does not tell the state of {folder}: {_words(status)}")
    paths = [os.fsdecode(entry[FIELD_CHARS:]) for entry in status.stdout.split(b"\0") if entry]
    left_out = [(folder / b).resolve() for b in besides]
    changed = tuple(p for p in paths if not any(_within(top.resolve() / p, b) for b in left_out))
    return Tree(head.stdout.decode().strip() or None, top.resolve(), changed)


def user_of(folder: Path) -> str | None:
    """Return whom git knows as the user, None where it knows nobody."""
    try:
        name = _git(folder, "config", "user.name").stdout.decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return None
    return name or None


def file_at(folder: Path, ref: str, path: Path, limit: int) -> tuple[str, bytes]:
    """Return the commit that `ref` names, and a file of the folder as it was there.

    Raises:
        BadInput: no git, no such commit, no such file in it, or a file larger than `limit` bytes.

    """
    try:
        # --end-of-options: a ref is data, never an option
        found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        commit = found.stdout.decode("ascii", "replace").strip()
        if found.returncode != 0 or not commit:
            raise BadInput(
                f"git knows no commit {ref!r} here. In CI, fetch it first: actions/checkout with fetch-depth: 0"
            )
        shown = _git(folder, "cat-file", "blob", f"{commit}:./{path.as_posix()}")
    except FileNotFoundError:
        raise BadInput(f"--base git:{ref} needs the git command, and it is not there") from None
    if shown.returncode != 0:
        raise BadInput(
            f"{path} is not in the commit {commit[:12]} ({ref}). Commit a baseline there, or leave --base out"
        )
    if len(shown.stdout) > limit:
        raise BadInput(f"{path} in the commit {commit[:12]} is larger than {limit} bytes")
    return commit, shown.stdout


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"git did not answer within {TIMEOUT_S:g} s in {folder}") from None


def _within(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    text: Sequence[str] = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return text[0] if text else f"exit code {done.returncode}"
