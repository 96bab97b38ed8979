"""What an error of ClickHouse or of the way to it means for the caller: try again, or give up.

A batch goes to quarantine only when it is itself at fault. What an operator can put right while the journal waits (no
space, no table, wrong password) is worth another try. Numbers: ClickHouse `src/Common/ErrorCodes.cpp`.
"""

from __future__ import annotations

import re
from http.client import HTTPException
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.exceptions import InterfaceError
from urllib3.exceptions import HTTPError

from schema.errors import Permanent, Retryable

if TYPE_CHECKING:
    from schema.errors import EvalgateError

RETRYABLE_CODES = frozenset(
    {
        60,  # UNKNOWN_TABLE: not migrated yet
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        81,  # UNKNOWN_DATABASE
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        164,  # READONLY
        173,  # CANNOT_ALLOCATE_MEMORY
        192,  # UNKNOWN_USER
        193,  # WRONG_PASSWORD
        194,  # REQUIRED_PASSWORD
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        289,  # REPLICA_IS_NOT_IN_QUORUM
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
        733,  # TABLE_IS_BEING_RESTARTED
        999,  # KEEPER_EXCEPTION
        1000,  # POCO_EXCEPTION
        1001,  # STD_EXCEPTION
        1002,  # UNKNOWN_EXCEPTION
    }
)
NAMING_CODES = frozenset(
    {
        16,  # NO_SUCH_COLUMN_IN_TABLE
        60,  # UNKNOWN_TABLE
        81,  # UNKNOWN_DATABASE
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)
"""Their texts hold names of the schema, never data."""

NO_CODE_RETRYABLE = frozenset({401, 403, 407, 408, 425, 429})
"""Answers of HTTP, from a proxy perhaps, that another try may change; so are all from 500 on."""
CODE = re.compile(r"Code: (\d+)\.")
NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)(?: \(version |\s*$)")


class InsertFault(Exception):
    """An INSERT was refused: what ClickHouse, or something on the way to it, said."""

    def __init__(self, text: str, *, code: int | None = None, status: int = 500, after_s: float | None = None) -> None:
        """Take the words of the answer; the code from them where it is not given, None where there is none."""
        super().__init__(text)
        found = CODE.search(text)
        self.code = code if code is not None else int(found[1]) if found else None
        name = NAME.search(text)
        self.name = name[1] if name else None
        self.status = status
        self.after_s = after_s
        self.permanent = 400 <= status < 500 and status not in NO_CODE_RETRYABLE
        """Whether an answer without a code is for good."""


DRIVER_FAULTS: tuple[type[Exception], ...] = (DriverError, HTTPError, HTTPException, OSError, InsertFault)
"""What the driver lets through; everything else is a fault of ours and stays as it is."""

SLOW_DOWN_S = {252: 10.0, 202: 5.0, 203: 5.0}
"""Of a server that has too many parts, queries or connections: what waits meanwhile comes in larger batches."""
PUSHED = "while pushing to view"
"""In the text of an error of a materialised view: the rows may be in the table by now, so they must come again as they
were, when somebody has put the view right."""
MESSAGE_CHARS = 600
SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([A-Z][A-Za-z ,-]+)")


def classify(error: Exception, where: str, *, quote: bool = True) -> EvalgateError:
    """Return the error to raise instead of a driver's.

    `quote=False` leaves out ClickHouse's text, which can hold pieces of the data: for inserts of spans.
    """
    code = getattr(error, "code", None)
    if code is None:
        what = f"{where} cannot be reached or gave no answer: {_text(error) if quote else type(error).__name__}"
        permanent = _for_good(error)
    else:
        name = getattr(error, "name", None) or "error"
        what = f"{where}: {_text(error)}" if quote or code in NAMING_CODES else f"{where} answered {name} (code {code})"
        permanent = code not in RETRYABLE_CODES
    if permanent and PUSHED not in str(error):
        refused = Permanent(what)
        refused.code, refused.status = code, getattr(error, "status", None)
        return refused
    again = Retryable(what)
    again.after_s = SLOW_DOWN_S.get(code or 0, getattr(error, "after_s", None))
    return again


def _for_good(error: Exception) -> bool:
    """Tell whether an answer without a code will be the same next time."""
    if isinstance(error, InsertFault):
        return error.permanent
    return isinstance(error, DriverError) and not isinstance(error, InterfaceError) and not _transport(error)


def _transport(error: BaseException) -> bool:
    """Tell whether the request never got an answer: the driver wraps such faults without a code."""
    cause = error.__cause__ or error.__context__
    return type(error).__name__ == "OperationalError" or (cause is not None and isinstance(cause, (HTTPError, OSError)))


def _text(error: Exception) -> str:
    """Return the server's own words on one line, without the driver's prefix and the version."""
    text = " ".join(str(error).split())
    if match := SYSTEM_ERROR.search(text):  # of a connection; around it stand names of Python's classes
        return match[1]
    text = text[max(text.find("Code: "), 0) :]
    text = text.split(" (version ")[0].split(" (for url ")[0].removeprefix("Code: ")
    return text[:MESSAGE_CHARS]
