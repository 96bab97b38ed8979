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
BATCH_FIELDS = 3
LOG_FIELDS = 4
"""That `history_of` asks of each commit."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The state of a working tree."""

    commit: str | None
    """None: nothing was committed yet."""
    top: Path
    """The folder of the repository."""
    changed: tuple[str, ...]
    """Paths, from the top of the repository, that are not as they were committed; untracked ones too."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit that changed a file."""

    commit: str
    at: str
    """ISO 8601, by the author's clock."""
    author: str
    subject: str
    blob: str | None
    """The id of what the file held then; None: it was removed."""
    size_bytes: int


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


def history_of(folder: Path, name: str, limit: int) -> tuple[Commit, ...]:
    """Return the last commits that changed a file of the folder, the newest first; none without git or repository.

    Raises:
        BadInput: git does not answer in time.

    """
    form = "--format=%H%x00%aI%x00%an%x00%s%x00"
    try:
        # signatures would start another program
        found = _git(folder, "-c", "log.showSignature=false", "log", f"--max-count={limit}", form, "--", name)
        if found.returncode != 0:
            return ()
        fields = found.stdout.decode("utf-8", "replace").split("\0")
        told = [f.lstrip("\n") for f in fields[: len(fields) // LOG_FIELDS * LOG_FIELDS]]
        rows = [told[i : i + LOG_FIELDS] for i in range(0, len(told), LOG_FIELDS)]
        asked = "".join(f"{row[0]}:./{name}\n" for row in rows).encode()
        sizes = _git(folder, "cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)
    except FileNotFoundError:
        return ()
    commits = []
    for (commit, at, author, subject), line in zip(
        rows, sizes.stdout.decode("ascii", "replace").splitlines(), strict=False
    ):
        blob, _, size = line.partition(" ")
        is_there = size.isdigit()
        commits.append(Commit(commit, at, author, subject, blob if is_there else None, int(size) if is_there else 0))
    return tuple(commits)


def blobs_of(folder: Path, blobs: Collection[str]) -> dict[str, bytes]:
    """Return what files held, by the ids that `history_of` gives; those that git has no more are left out.

    Everything is held at once: the caller adds up the sizes before it asks.

    Raises:
        BadInput: git does not answer in time.

    """
    if not blobs:
        return {}
    out = _git(folder, "cat-file", "--batch", stdin="".join(f"{b}\n" for b in blobs).encode()).stdout
    found: dict[str, bytes] = {}
    place = 0
    while (end := out.find(b"\n", place)) >= 0:
        told = out[place:end].decode("ascii", "replace").split(" ")  # "<id> blob <size>", or "<id> missing"
        place = end + 1
        if len(told) == BATCH_FIELDS and told[2].isdigit():
            size = int(told[2])
            found[told[0]] = out[place : place + size]
            place += size + 1
    return found


def _git(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C",
    }
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            input=stdin,
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
