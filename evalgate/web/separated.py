"""CSV that spreadsheets open without harm.

A cell that begins like a formula (=, +, -, @, a tab or a carriage return) is run by spreadsheets, whoever wrote it: it
gets an apostrophe in front (OWASP, "CSV Injection"). Numbers of ours are no text, and stay numbers. Every cell is
quoted, and control characters are shown as their codes.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from evalgate.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RUN: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How cells begin that are run; the last four are the wide forms, which some spreadsheets take for them."""


def separated(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV with a head, lines ended as RFC 4180 has it."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def attachment(name: str) -> dict[str, str]:
    """Return the headers of a download; the name is made of what is harmless in one."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in name)
    return {"content-disposition": f'attachment; filename="{plain}"'}


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = str(value)
    # What is run may stand behind blanks, which a spreadsheet takes away.
    return clean(f"'{text}" if text.lstrip(" \n").startswith(RUN) else text)
