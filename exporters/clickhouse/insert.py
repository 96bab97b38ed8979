"""A batch into the tables: each block whole, or, where ClickHouse refuses rows of it, in halves down to those rows.

    block 0..n ─▶ refused ─▶ 0..n/2 ─▶ stored            under the token of the block and these rows
                             n/2..n ─▶ refused ─▶ …      until one row is left: rejected

A part has another token than its block. So that a replay never stores a block whole of which parts are stored, what was
split is put on record (table `insert_splits`) before the first part of it is sent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from exporters.clickhouse.native import encode
from exporters.clickhouse.rows import blocks, ledger_blocks
from exporters.clickhouse.window import without_forgotten
from schema.component import Rejected
from schema.errors import Permanent, Retryable
from schema.failpoints import failpoint

if TYPE_CHECKING:
    import pyarrow as pa

    from exporters.clickhouse.connect import Database
    from exporters.clickhouse.rows import Block
    from schema.batch import SpanBatch

log = logging.getLogger(__name__)

MAX_SINGLES: Final = 256
"""Rows that are looked for one by one; where there are more, what still fails is rejected in the parts it is in."""

OF_THE_TABLE: Final = frozenset(
    {
        7,  # TYPE_MISMATCH of older servers
        8,  # THERE_IS_NO_COLUMN
        10,  # NOT_FOUND_COLUMN_IN_BLOCK
        16,  # NO_SUCH_COLUMN_IN_TABLE
        20,  # NUMBER_OF_COLUMNS_DOESNT_MATCH
        36,  # BAD_ARGUMENTS
        43,  # ILLEGAL_TYPE_OF_ARGUMENT
        44,  # ILLEGAL_COLUMN
        47,  # UNKNOWN_IDENTIFIER
        48,  # NOT_IMPLEMENTED
        50,  # UNKNOWN_TYPE
        53,  # TYPE_MISMATCH
        62,  # SYNTAX_ERROR
        115,  # UNKNOWN_SETTING
        218,  # TABLE_IS_DROPPED
    }
)
"""Errors that no row of a block is the cause of: somebody changed the table, or the server is another. They wait."""
TOO_LARGE_STATUS: Final = 413
"""Of a proxy: halves may pass."""


class Splits:
    """Which blocks and parts were sent in halves, by token and table; the database remembers."""

    def __init__(self, db: Database) -> None:
        """Read what is known. Raises Retryable, Permanent."""
        self._db = db
        self._known = {str(row["part"]) for row in db.rows("SELECT part FROM insert_splits")}

    def __contains__(self, part: str) -> bool:
        return part in self._known

    def add(self, part: str) -> None:
        """Remember, durably. Raises Retryable, Permanent."""
        self._db.insert_rows("insert_splits", [{"part": part}])
        self._known.add(part)


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of a batch."""

    rejected: Rejected | None
    ledger: tuple[pa.Table, ...]
    """The rows of the ledger that it added."""
    forgotten: int = 0
    """Blocks of spans that were there already, and of which the table had forgotten the token."""


@dataclass(slots=True)
class _Search:
    """The rows of one batch that ClickHouse refuses."""

    db: Database
    splits: Splits | None
    rows: dict[str, list[int]] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)

    def insert(self, block: Block, token: str) -> None:
        """Insert a block but for the rows that are refused."""
        part = f"{token}/{block.table}"
        if self.splits is None or part not in self.splits:
            try:
                self.db.insert_arrow(block.table, block.rows, token)
            except Permanent as e:
                _require_rows_at_fault(e)
                self._split(part)
            else:
                return
        parts = [(0, block.rows.num_rows)]
        while parts:
            low, high = parts.pop()
            middle = (low + high) // 2
            parts += [r for r in ((low, middle), (middle, high)) if r[0] < r[1] and self._refuses(block, token, *r)]

    def _refuses(self, block: Block, token: str, low: int, high: int) -> bool:
        """Insert some rows; return whether they were refused and can be halved further."""
        name = f"{token}/{low}-{high}"
        part = f"{name}/{block.table}"
        if self.splits is not None and part in self.splits:
            return True
        try:
            self.db.insert_arrow(block.table, block.rows.slice(low, high - low), name)
        except Permanent as e:
            _require_rows_at_fault(e)
            self.reasons.add(str(e))
        else:
            return False
        rows = self.rows.setdefault(block.table, [])
        if high - low > 1 and len(rows) < MAX_SINGLES:
            self._split(part)
            return True
        rows += range(low, high) if block.at is None else block.at[low:high].tolist()
        return False

    def _split(self, part: str) -> None:
        if self.splits is None:
            self.splits = Splits(self.db)
        self.splits.add(part)

    def found(self) -> Rejected | None:
        """Return the rows that were refused, None where there are none."""
        if not any(self.rows.values()):
            return None
        spans, logs, feedback = (tuple(sorted(self.rows.get(t, ()))) for t in ("spans", "events", "feedback"))
        return Rejected("; ".join(sorted(self.reasons)), spans=spans, logs=logs, feedback=feedback)


def insert_batch(
    db: Database, batch: SpanBatch, token: str, splits: Splits | None = None, *, again: bool = False
) -> Inserted:
    """Insert a batch; done when every row but the rejected ones is on disk.

    One INSERT per table and day of receipt, each with a deduplication token made of `token`, table and day: what an
    earlier try stored is not stored again; `again` says that there may have been one. The ledger comes last, so it
    never counts what is not there. Of a day whose spans were there already, and forgotten, it is booked no more: the
    ledger, too, would take it for another.

    Raises:
        Retryable: not everything could be stored; call again with the same batch and token.

    """
    search = _Search(db, splits)
    forgotten: list[int] = []
    for block in blocks(batch):
        if again and block.table == "spans":
            rest = without_forgotten(db, block.rows)
            if left_out := block.rows.num_rows - rest.num_rows:
                log.warning("%d spans are in %s already, from longer ago than it remembers tokens: left out",
                            left_out, db.url)  # fmt: skip
            if rest.num_rows == 0:
                forgotten.append(block.day)
                continue
            block = replace(block, rows=rest) if left_out else block  # noqa: PLW2901 - what is left of it
        search.insert(block, f"{token}/{block.day}")
        failpoint("exporter.after_insert")
    rejected = search.found()
    booked = []
    for block in ledger_blocks(batch, rejected):
        if block.day in forgotten:
            continue
        try:
            db.insert_arrow(block.table, block.rows, f"{token}/{block.day}")
        except Permanent as e:
            raise Retryable(f"the table ledger: {e}") from None
        booked.append(block.rows)
    return Inserted(rejected, tuple(booked), len(forgotten))


def rehearse(batch: SpanBatch) -> int:
    """Make the bytes of all INSERTs of a batch and send them nowhere; return how many there are."""
    return sum(len(piece) for block in blocks(batch) for piece in encode(block.rows))


def _require_rows_at_fault(error: Permanent) -> None:
    """Raise Retryable where it is not the rows that ClickHouse refuses."""
    code, status = getattr(error, "code", None), getattr(error, "status", None)
    if code in OF_THE_TABLE or (code is None and status not in (None, TOO_LARGE_STATUS)):
        raise Retryable(
            f"{error}. The table or the way to it is at fault, not the rows: put it right; they wait"
        ) from None


__all__ = ["Inserted", "Splits", "insert_batch", "rehearse"]
