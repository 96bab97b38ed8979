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
from typing import TYPE_CHECKING, Any, Final

import orjson

from exporters.clickhouse.faults import PUSHED, RETRYABLE_CODES, InsertFault

if TYPE_CHECKING:
    from collections.abc import Iterable

ERRORS: Final = """
SELECT code, name, value, last_error_message AS message, query_id AS query, queryID() AS own FROM system.errors
"""
OWN: Final = "SELECT queryID() AS own"
"""Behind an INSERT, queries of the same handle have its id, until the next (measured)."""
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
    met = _met(before, _errors(handle))
    if met and (fault := _fault(met, _own(handle, before, met), statement)):
        raise fault
    return done


def _met(before: dict[int, dict[str, Any]], after: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the errors that came in between, with how often."""
    counted = ({**e, "times": e["value"] - before.get(c, {"value": 0})["value"]} for c, e in after.items())
    return [e for e in counted if e["times"]]


def _own(handle: Any, before: dict[int, dict[str, Any]], met: list[dict[str, Any]]) -> str | None:
    """Return the query id of the INSERT; None where the engine does not keep it as it was seen to."""
    found = str(_rows(handle, OWN)[0]["own"])
    return found if found == met[0]["own"] and all(e["own"] != found for e in before.values()) else None


def _fault(met: list[dict[str, Any]], own: str | None, statement: str) -> InsertFault | None:
    """Return what errors say of the INSERT whose query id is `own`, None where nothing.

    Whatever another try may change goes first: a block that may be stored is not for halving.
    """
    unsure: list[tuple[int, dict[str, Any]]] = []
    sure: list[tuple[int, dict[str, Any]]] = []
    for error in met:
        code, ours = error["code"], error["query"] == own
        if own is not None and not ours and error["query"] and error["times"] == 1:
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


def _errors(handle: Any) -> dict[int, dict[str, Any]]:
    return {e["code"]: {**e, "value": int(e["value"])} for e in _rows(handle, ERRORS)}


def _rows(handle: Any, sql: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in handle.query(sql, "JSONEachRow").bytes().splitlines()]
