"""Erasing takes turns with retention: each counts what it removes, and the ledger is told once."""

from __future__ import annotations

import socket
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from evalgate.review.actor import user_name
from schema.errors import EvalgateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOK_S: Final = 0.25


@contextmanager
def turn(
    database: Any,
    timeout_s: float,
    say: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
    now_s: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Hold while rows are erased: retention decides nothing, and what it decided before is done.

    `database` is an `exporters.clickhouse.connect.Database`. `say` is told if there is something to wait for.

    Raises:
        EvalgateError: retention does not come to an end.

    """
    from exporters.clickhouse import retention_log  # noqa: PLC0415 - the gate must not need it

    mine, who = f"erase-{uuid.uuid4().hex[:12]}", _who()
    number = retention_log.append_last(database, "erase", actor=who, run=mine)
    try:
        end_s, said = now_s() + timeout_s, False
        while left := [r for r in retention_log.unfinished(retention_log.read(database)) if r]:
            if now_s() >= end_s:
                raise EvalgateError(
                    f"retention is removing rows (run {left[0]}): nothing more was erased. Run this again when it has "
                    "ended; without a collector that runs: evalgate retention apply --yes"
                )
            if not said:
                say(f"waiting until retention has removed what it decided on before entry {number} of its log")
                said = True
            sleep(LOOK_S)
        yield
    finally:
        retention_log.append_last(database, "erased", actor=who, run=mine)


def _who() -> str:
    return f"{user_name()} on {socket.gethostname()}"
