"""Read the cases of a file, each line for itself: one that cannot be run is set aside and named, the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from evalgate.errors import BadInput
from evalgate.files import strict_json, to_json_line
from evalgate.terminal import one_line
from schema.case import case_to_json, parse_case
from schema.run import SetAside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from schema.case import Case

MAX_CASE_BYTES = 4 << 20
"""Of one line: a conversation of a million tokens."""
MAX_CASE_DEPTH = 64
"""Of nested objects and lists: what any JSON reader on the way can take."""
REASON_CHARS = 300
PIECE_BYTES = 1 << 20


def read_leniently(path: Path, *, drafts: bool = True) -> tuple[tuple[Case, ...], tuple[SetAside, ...]]:
    """Return the cases of a file, and the lines that are none: damaged, too large, nested too deep, or there already.

    Without `drafts`, a draft that nobody let in is none either.

    Raises:
        BadInput: the file cannot be read.

    """
    try:
        with path.open("rb") as file:
            return cases_in(file, drafts=drafts)
    except OSError as e:
        raise BadInput(f"cannot read {path}: {e.strerror or e}") from None


def cases_in(
    file: BinaryIO, *, drafts: bool = True, known: dict[bytes, Case] | None = None
) -> tuple[tuple[Case, ...], tuple[SetAside, ...]]:
    """Return the cases of an open file, and the lines that are none; as `read_leniently`.

    `known` has cases by their lines, and gets those that are read: versions of a file share most of them.
    """
    cases: dict[str, tuple[int, Case]] = {}
    aside: list[SetAside] = []
    for number, (line, size) in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        case_id = None
        try:
            if size > MAX_CASE_BYTES:
                raise ValueError(f"it has {size} bytes; the limit of a case is {MAX_CASE_BYTES}")  # noqa: TRY301 - as below
            case = None if known is None else known.get(line)
            if case is None:
                value = _value(line)
                case_id = _id(value)
                case = parse_case(value)
                require_whole(case)
                if known is not None:
                    known[line] = case
            case_id = case.case_id
            if case.case_id in cases:
                raise ValueError(f"this case stands in line {cases[case.case_id][0]} already")  # noqa: TRY301 - told with its line
            if case.provenance.is_draft and not drafts:
                raise ValueError("it is a draft that nobody let in; promote it: evalgate promote")  # noqa: TRY301 - told with its line
        except ValueError as e:
            aside.append(SetAside(case_id, number, one_line(str(e), REASON_CHARS)))
        else:
            cases[case.case_id] = (number, case)
    return tuple(case for _, case in cases.values()), tuple(aside)


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield each line and its length; of one beyond the limit only the beginning is held."""
    while line := file.readline(MAX_CASE_BYTES + 1):
        size, rest = len(line), line
        while size > MAX_CASE_BYTES and not rest.endswith(b"\n") and (rest := file.readline(PIECE_BYTES)):
            size += len(rest)
        yield line, size


def _value(line: bytes) -> Any:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as e:
        raise ValueError(f"it is not UTF-8: byte {e.start} is {e.object[e.start]:#04x}") from None
    value = strict_json(text)
    if (depth := _depth(value)) > MAX_CASE_DEPTH:
        raise ValueError(f"it is nested {depth} deep; the limit of a case is {MAX_CASE_DEPTH}")
    return value


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else None
        if inner is not None:
            deepest = max(deepest, level)
            waiting.extend((x, level + 1) for x in inner)
    return deepest


def _id(value: Any) -> str | None:
    given = value.get("case_id") if isinstance(value, dict) else None
    return one_line(given, 100) if isinstance(given, str) else None


def require_whole(case: Case) -> None:
    """Refuse half a character: JSON can spell it, UTF-8 cannot, and so no file or request could hold it.

    Raises:
        ValueError: there is one, in words.

    """
    try:
        to_json_line(case_to_json(case)).encode("utf-8")
    except UnicodeEncodeError as e:
        raise ValueError(f"it holds half a character (\\u{ord(e.object[e.start]):04x})") from None
