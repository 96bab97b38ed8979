"""An INSERT into the embedded engine as a stream that tells when it failed.

`finish` of chdb 4.4 returns as if all were well where the table itself refuses the rows: a constraint, too many parts,
no space, a view that fails (measured). What the engine counts as errors meanwhile shows it, in `system.errors`:

    of this query, names the table       surely ours: its own code says what it means, as a server's answer would
    of this query, names something else  ours, but perhaps met and survived: try again under the same token
    of another query                     not ours, unless it hides one of ours of the same code: as below
    of no query, or hidden               ours if it is of resources, or names the table or a view: try again
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from exporters.clickhouse.faults import PUSHED, RETRYABLE_CODES, InsertFault

if TYPE_CHECKING:
    from collections.abc import Iterable

ERRORS: Final = """
SELECT queryID() AS own, code, name, value, last_error_message AS message, query_id AS query
FROM (SELECT 1) AS one LEFT JOIN system.errors ON 1 = 1
"""
"""A row at least, for `own`: behind an INSERT, queries of the same handle have the id of that INSERT (measured)."""
OF_RESOURCES: Final = frozenset(
    {
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        173,  # CANNOT_ALLOCATE_MEMORY
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        999,  # KEEPER_EXCEPTION
        1000,  # POCO_EXCEPTION
        1001,  # STD_EXCEPTION
        1002,  # UNKNOWN_EXCEPTION
    }
)
TABLE: Final = re.compile(r"INSERT\s+INTO\s+(?:TABLE\s+)?(?:`?\w+`?\.)?`?(\w+)`?", re.IGNORECASE)
VIOLATED_CONSTRAINT: Final = 469
UNKNOWN_STATUS: Final = 319
"""ClickHouse's own code for an INSERT of which nobody knows whether it is stored."""


@dataclass(frozen=True, slots=True)
class _Errors:
    """What the engine met so far, by code, and the query id of the handle."""

    own: str
    by_code: dict[int, dict[str, Any]]


def push(handle: Any, statement: str, form: str, pieces: Iterable[bytes | memoryview]) -> Any:
    """Insert the pieces, whole or not at all; return what the engine says of them.

    Raises:
        InsertFault: the engine refused, or may have: then its code is UNKNOWN_STATUS, or another that another try may
            change.

    """
    before = _errors(handle)
    try:
        with handle.send_insert(statement, form) as stream:
            for piece in pieces:
                stream.append(piece)
            done = stream.finish()
    except RuntimeError as e:
        raise InsertFault(str(e)) from None
    if fault := _fault(before, _errors(handle), statement):
        raise fault
    return done


def _fault(before: _Errors, after: _Errors, statement: str) -> InsertFault | None:
    """Return what the errors met in between say of the INSERT, None where nothing.

    Whatever another try may change goes first: a block that may be stored is not for halving.
    """
    unsure: list[tuple[int, dict[str, Any]]] = []
    sure: list[tuple[int, dict[str, Any]]] = []
    known = after.own != before.own
    for code, error in after.by_code.items():
        times = error["value"] - before.by_code.get(code, {}).get("value", 0)
        ours = known and error["query"] == after.own
        if not times or (known and times == 1 and error["query"] not in ("", after.own)):
            continue
        again = code in RETRYABLE_CODES
        if ours and not again and PUSHED not in error["message"] and _names_table(error, statement):
            sure.append((code, error))
        elif ours or _concerns(error, statement):
            unsure.append((code if again else UNKNOWN_STATUS, error))
    if not unsure and not sure:
        return None
    code, error = max(unsure, key=lambda found: found[0] != UNKNOWN_STATUS) if unsure else sure[0]
    return InsertFault(f"Code: {code}. DB::Exception: {error['message']} ({error['name']})", code=code)


def _concerns(error: dict[str, Any], statement: str) -> bool:
    """Tell whether an error of an unknown query may be of this INSERT."""
    return (
        _names_table(error, statement)
        or error["code"] in OF_RESOURCES
        or error["code"] == VIOLATED_CONSTRAINT
        or PUSHED in error["message"]
    )


def _names_table(error: dict[str, Any], statement: str) -> bool:
    match = TABLE.match(statement)
    return match is not None and re.search(rf"\.`?{re.escape(match[1])}\b", error["message"]) is not None


def _errors(handle: Any) -> _Errors:
    found = [orjson.loads(line) for line in handle.query(ERRORS, "JSONEachRow").bytes().splitlines()]
    by_code = {e["code"]: {**e, "value": int(e["value"])} for e in found if e["code"]}
    return _Errors(found[0]["own"], by_code)
