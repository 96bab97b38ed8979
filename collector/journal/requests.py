"""What another process asks of the one that owns a journal: files that the owner looks for.

    requests/<name>.json     {"do": "replay", "id": …} or {"do": "scrub"}
    requests/<name>.answer   {"ok": …, "message": …, …}, written when the request is done; whoever asked removes it

Every request may be done twice: the owner may be killed between the work and the answer.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.journal.fs import Fs

FOLDER: Final = "requests"
NAME: Final = re.compile(r"[0-9a-f]{16}\.json")
POLL_S: Final = 0.5
OWNER_ANSWERS_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to do."""

    path: Path
    do: Literal["replay", "scrub"]
    id: str = ""


def ask(fs: Fs, directory: Path, do: Literal["replay", "scrub"], **values: str) -> Path:
    """Put a request; return its file. Raises OSError."""
    folder = directory / FOLDER
    fs.make_directory(folder)
    path = folder / f"{secrets.token_hex(8)}.json"
    fs.write_file(path, orjson.dumps({"do": do, **values}))
    return path


def wait(
    path: Path,
    within_s: float = OWNER_ANSWERS_S,
    *,
    sleep: Callable[[float], None] = time.sleep,
    now_s: Callable[[], float] = time.monotonic,
) -> dict[str, Any] | None:
    """Return the answer to a request, or None where there is none in time: the request stays, and will be done."""
    answer = path.with_suffix(".answer")
    end_s = now_s() + within_s
    while True:
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = orjson.loads(answer.read_bytes())
            answer.unlink()
            return found
        if now_s() >= end_s:
            return None
        sleep(POLL_S / 5)


def pending(directory: Path) -> list[Request]:
    """Return what was asked, in no order; files that make no sense are left out. Raises OSError."""
    folder = directory / FOLDER
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        if not NAME.fullmatch(path.name):
            continue
        with contextlib.suppress(orjson.JSONDecodeError, TypeError, KeyError, FileNotFoundError):
            values = orjson.loads(path.read_bytes())
            if values["do"] in ("replay", "scrub"):
                found.append(Request(path, values["do"], str(values.get("id", ""))))
    return found


def answer(fs: Fs, request: Request, *, ok: bool, **values: Any) -> None:
    """Say what came of a request, and forget it. Raises OSError; it is done again then."""
    fs.write_file(request.path.with_suffix(".answer"), orjson.dumps({"ok": ok, **values}))
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(request.path)
