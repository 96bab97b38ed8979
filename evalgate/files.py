"""Files of the user's project: read with line numbers, written whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_atomic(path: Path, text: str) -> None:
    """Replace a file in one step, durably; readers see the old text or the new.

    Raises:
        BadInput: the place cannot be written.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as e:
        raise BadInput(f"cannot write {path}: {e.strerror or e}") from None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes and threads out that ask for the same folder, which is made if need be: read, then write.

    It is not held twice by one: who holds it and asks again waits for himself.

    Raises:
        BadInput: the folder cannot be made or opened.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as e:
        raise BadInput(f"cannot write to {folder}: {e.strerror or e}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        BadInput: it cannot be read, or is not UTF-8.

    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise BadInput(f"cannot read {path}: {e.strerror or e}") from None
    except UnicodeDecodeError as e:
        raise BadInput(f"{path} is not UTF-8: byte {e.start} is {e.object[e.start]:#04x}") from None


def read_json(path: Path) -> Any:
    """Return the JSON document of a file.

    Raises:
        BadInput: it cannot be read, or is not JSON.

    """
    try:
        return strict_json(read_text(path))
    except ValueError as e:
        raise BadInput(f"{path} is not JSON: {e}") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value or ValueError) of each line that is not empty; numbers begin at 1."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield number, strict_json(line)
            except json.JSONDecodeError as e:
                yield number, ValueError(f"this is not JSON: {e.msg} at character {e.colno}")
            except ValueError as e:
                yield number, e


def strict_json(text: str) -> Any:
    """Return the value of strict JSON.

    Raises:
        ValueError: not JSON, or NaN and the infinities, which JSON lacks, or nested too deep to read.

    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def to_json(value: Any) -> str:
    """Return indented JSON, ending in a newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_json_line(value: Any) -> str:
    """Return JSON on one line, without its newline."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
