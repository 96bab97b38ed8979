"""The statements of this folder: `/* name */` in one stands for the text of another, values are bound.

What takes the place of a mark is a text of ours, or the name of a table or column of ours; never a value.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporters.clickhouse.connect import Database

MARK: Final = re.compile(r"/\* (\w+) \*/")
PLACEHOLDER: Final = re.compile(r"\{\s*([a-z_]+)\s*:")
ID: Final = "trace_id"
TRACE_OF_FEEDBACK: Final = "toFixedString(unhex(if(match(trace_id, '^[0-9a-f]{32}\\z'), trace_id, '')), 16)"
HELD_BY_ID: Final = ("trace_parts", "spans", "span_revisions", "settlements")
"""Tables that have a row only because of a trace, its id as bytes; first the one that lists say what there is from."""
RECEIVED: Final = {"trace_parts": "received_hour", "settlements": "received_hour"}
"""What a table is partitioned by the day of, where that is not `received_at`."""
TABLES: Final = (*HELD_BY_ID, "events", "feedback")
"""What rows go of, in this order: what is gone is in no list from the first on."""


@cache
def statement(name: str, **parts: str) -> str:
    """Return the text of a statement. `parts` fill marks that no file is for; those of no part stay comments."""

    def fill(match: re.Match[str]) -> str:
        found = parts.get(match[1])
        if found is None and _file(match[1]).is_file():
            found = statement(match[1], **parts)
        return match[0] if found is None else found

    return MARK.sub(fill, _file(name).read_text("utf-8").strip())


@cache
def goes(table: str) -> str:
    """Return the condition on the rows of a table that a run removes."""
    if table in HELD_BY_ID:
        return statement("of_run", id=ID)
    received = received_of(table)
    traceless = statement("traceless_of_run", received=received)
    if table == "events":
        return f"{statement('of_run', id=ID)} OR (trace_id = toFixedString('', 16) AND {traceless})"
    of_run = statement("of_run", id=TRACE_OF_FEEDBACK)
    return f"{of_run} OR ({TRACE_OF_FEEDBACK} = toFixedString('', 16) AND {traceless})"


def received_of(table: str) -> str:
    """Return the column whose day a table is partitioned by."""
    return RECEIVED.get(table, "received_at")


def rows(db: Database, text: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return all rows; of the values those that the statement asks for."""
    return db.rows(text, wanted(text, values))


def command(db: Database, text: str, values: Mapping[str, object]) -> None:
    """Run a statement; values as in `rows`."""
    db.command(text, wanted(text, values))


def wanted(text: str, values: Mapping[str, object]) -> dict[str, object]:
    """Return the values that a statement asks for."""
    return {name: values[name] for name in dict.fromkeys(PLACEHOLDER.findall(text))}


def _file(name: str) -> Any:
    return resources.files("collector.retention").joinpath(f"sql/{name}.sql")
