"""An INSERT into the embedded engine as a stream that tells when it failed.

`finish` of chdb 4.4 returns as if all were well where the table itself refuses the rows: too many parts, no space, a
view that fails (measured). What the engine counts as errors meanwhile shows it: those of resources, and those that
name the table or a view behind it. Somebody else's at the same moment is taken for ours, which costs another try under
the same token; those of mere queries are not looked at, as the engine meets some of its own all the time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from exporters.clickhouse.faults import PUSHED, RETRYABLE_CODES, InsertFault

if TYPE_CHECKING:
    from collections.abc import Iterable

ERRORS: Final = "SELECT code, name, value, last_error_message AS message FROM system.errors"
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
UNKNOWN_STATUS: Final = 319
"""ClickHouse's own code for an INSERT of which nobody knows whether it is stored."""


def push(handle: Any, statement: str, form: str, pieces: Iterable[bytes | memoryview]) -> Any:
    """Insert the pieces, whole or not at all; return what the engine says of them.

    Raises:
        InsertFault: the engine refused, or met an error meanwhile: try again under the same token.

    """
    before = _errors(handle)
    try:
        with handle.send_insert(statement, form) as stream:
            for piece in pieces:
                stream.append(piece)
            done = stream.finish()
    except RuntimeError as e:
        raise InsertFault(str(e)) from None
    after = _errors(handle)
    met = [e for c, e in after.items() if e["value"] != before.get(c, {}).get("value") and _concerns(e, statement)]
    if met:
        worst = next((e for e in met if e["code"] in RETRYABLE_CODES), met[0])
        code = worst["code"] if worst["code"] in RETRYABLE_CODES else UNKNOWN_STATUS
        raise InsertFault(f"Code: {worst['code']}. {worst['message']} ({worst['name']})", code=code)
    return done


def _concerns(error: dict[str, Any], statement: str) -> bool:
    """Tell whether an error may be of this INSERT."""
    match = TABLE.match(statement)
    named = match is not None and re.search(rf"\.`?{re.escape(match[1])}\b", error["message"]) is not None
    return named or error["code"] in OF_RESOURCES or PUSHED in error["message"]


def _errors(handle: Any) -> dict[int, dict[str, Any]]:
    lines = handle.query(ERRORS, "JSONEachRow").bytes().splitlines()
    found = [orjson.loads(line) for line in lines]
    return {e["code"]: {**e, "value": int(e["value"])} for e in found}
