"""C7: a table is missing, a column has another type, a column was added.

Injected: while the collector runs, a table renamed away, a column dropped, a column of a type that takes none of the
values, a column added; and before a start, a table and a column dropped.
Holds: what the table is to blame for waits, named, until somebody puts it right, and is stored once then; rows that do
not fit are quarantined; a start adds what is missing and names it.
Figure: kinds of damage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.faults.delivering import Delivery, batch, counts, record, whole

if TYPE_CHECKING:
    from collections.abc import Callable

WAITS = {
    "table missing": ("RENAME TABLE ledger TO away", "RENAME TABLE away TO ledger", "UNKNOWN_TABLE"),
    "column missing": (
        "ALTER TABLE spans RENAME COLUMN metadata TO away",
        "ALTER TABLE spans RENAME COLUMN away TO metadata",
        "metadata",
    ),
}


@pytest.mark.parametrize("damage", list(WAITS))
def test_what_the_table_is_to_blame_for_waits(
    dsn: str, damage: str, record_property: Callable[[str, object], None]
) -> None:
    break_it, mend_it, says = WAITS[damage]
    named: list[str | None] = []

    def on_wait(number: int) -> None:
        named.append(delivery.lane.progress.waiting_for if delivery.lane else None)
        if number == 3:
            with connect(dsn) as db:
                db.command(mend_it)

    delivery = Delivery(dsn, on_wait=on_wait)
    with connect(dsn, create_database=True) as db:
        migrate(db)
    lane, source = delivery.run(batch(1, record(1, 20)), before=break_it)
    assert len(delivery.waits) == 3
    assert all(name is not None and says in name for name in named)
    assert source.set_aside == []
    assert counts(dsn) == whole(20)
    assert lane.progress.waiting_for is None
    record_property("figure", f"{damage}: waited 3 times, then stored once")


def test_a_column_that_takes_no_value_costs_its_rows_and_one_that_was_added_nothing(dsn: str) -> None:
    with connect(dsn, create_database=True) as db:
        migrate(db)
        db.command("ALTER TABLE spans ADD COLUMN mine String DEFAULT 'x'")
        db.command("ALTER TABLE spans MODIFY COLUMN trace_state Enum8('' = 0)")
    _, source = Delivery(dsn).run(batch(1, record(1, 5), record(6, 3, trace_state="a")), batch(2, record(9, 1)))
    assert counts(dsn) == whole(6)
    [(sequences, reason)] = source.set_aside
    assert sequences == (1001,)
    assert "UNKNOWN_ELEMENT_OF_ENUM" in reason


def test_a_start_adds_what_is_missing_and_names_it(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    with connect(dsn, create_database=True) as db:
        migrate(db)
        db.command("ALTER TABLE spans DROP COLUMN metadata")
        db.command("DROP TABLE feedback SYNC")
    Delivery(dsn).run(batch(1, record(1, 20)))
    assert "lacked table feedback, column spans.metadata: added" in caplog.text
    assert counts(dsn) == whole(20)
