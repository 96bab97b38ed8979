"""What a statement says of its answer: whether there is one, and in which format.

A stranger wrote the statement, so nothing here may take longer than its length says: the beginning is scanned by hand,
and the expression for the end never gives back what it took (possessive, `++`) and sees the last TAIL_CHARS alone.
"""

from __future__ import annotations

import re
from typing import Final

ANSWERED: Final = frozenset({"SELECT", "WITH", "SHOW", "DESC", "DESCRIBE", "EXPLAIN", "EXISTS", "CHECK", "KILL"})
TAIL_CHARS: Final = 4096
"""Of a statement's end: a FORMAT and the settings that may follow it."""
SKIPPED: Final = re.compile(r"[\s(]++")
COMMENT_MARK: Final = re.compile(r"/\*|\*/")
FIRST_WORD: Final = re.compile(r"[A-Za-z]{1,9}(?!\w)")
SETTING: Final = r"\w++\s*+=\s*+[^,]++"
ENDING_FORMAT: Final = re.compile(
    rf"\bFORMAT\s++(\w++)\s*+(?:SETTINGS\s++{SETTING}(?:,\s*+{SETTING})*+)?+;?+\s*+\Z", re.IGNORECASE
)


def has_answer(text: str) -> bool:
    """Tell whether the first word, after blanks, comments and opening brackets, is of a statement that has a result."""
    match = FIRST_WORD.match(text, _start(text))
    return match is not None and match[0].upper() in ANSWERED


def ending_format(text: str) -> re.Match[str] | None:
    """Return where the statement names the format of its answer: group 1 is the name."""
    return ENDING_FORMAT.search(text, max(0, len(text) - TAIL_CHARS))


def _start(text: str) -> int:
    """Return where the first word begins; the end of the text where there is none."""
    at, end = 0, len(text)
    while at < end:
        if skipped := SKIPPED.match(text, at):
            at = skipped.end()
        elif text.startswith("--", at):
            line = text.find("\n", at)
            at = end if line < 0 else line + 1
        elif text.startswith("/*", at):
            at = _after_comment(text, at)
        else:
            break
    return at


def _after_comment(text: str, start: int) -> int:
    """Return where a comment ends that may have others within, as ClickHouse has it."""
    depth = 0
    for mark in COMMENT_MARK.finditer(text, start):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return len(text)
