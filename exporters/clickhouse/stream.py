"""An INSERT into the embedded engine as a stream that tells when it failed.

`finish` of chdb 4.4 returns as if all were well where the table itself refuses the rows: too many parts, no space, a
view that fails (measured). What the engine counts as errors meanwhile shows it. Somebody else's error at the same
moment is taken for ours, which costs another try under the same token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from exporters.clickhouse.faults import RETRYABLE_CODES, InsertFault

if TYPE_CHECKING:
    from collections.abc import Iterable

ERRORS: Final = "SELECT code, name, value, last_error_message AS message FROM system.errors"
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
    met = [e for code, e in _errors(handle).items() if e["value"] != before.get(code, {}).get("value")]
    if met:
        worst = next((e for e in met if e["code"] in RETRYABLE_CODES), met[0])
        code = worst["code"] if worst["code"] in RETRYABLE_CODES else UNKNOWN_STATUS
        raise InsertFault(f"Code: {worst['code']}. {worst['message']} ({worst['name']})", code=code)
    return done


def _errors(handle: Any) -> dict[int, dict[str, Any]]:
    lines = handle.query(ERRORS, "JSONEachRow").bytes().splitlines()
    found = [orjson.loads(line) for line in lines]
    return {e["code"]: {**e, "value": int(e["value"])} for e in found}
