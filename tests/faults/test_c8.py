"""C8: one row in 10 000 that the database does not take.

Injected: a column of an enumeration, or a constraint, and one span of 10 000 with a word that it does not take; the
batch twice.
Holds: 9 999 are stored once, in the table, the views and the ledger; one is quarantined, as a request of its own, and
counted so.
Figure: INSERTs that it took to find the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.decode import decode
from exporters.clickhouse.connect import Database, connect
from exporters.clickhouse.migrate import migrate
from tests.faults.delivering import Delivery, batch, counts, record, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

pytestmark = [
    pytest.mark.usefixtures("kernels"),  # else it may be this test that compiles them
    # About 80 INSERTs one after another, each synced: 3 s alone, and more than a minute beside eight busy processes.
    pytest.mark.timeout(300, func_only=True),
]
ROWS = 10_000
POISON = 6_543


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        pytest.param("MODIFY COLUMN trace_state Enum8('' = 0)", "UNKNOWN_ELEMENT_OF_ENUM", id="type"),
        pytest.param("ADD CONSTRAINT known CHECK trace_state = ''", "VIOLATED_CONSTRAINT", id="constraint"),
    ],
)
def test_the_row_is_found_and_all_others_are_stored(
    dsn: str, rule: str, says: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    with connect(dsn, create_database=True) as db:
        migrate(db)
        db.command(f"ALTER TABLE spans {rule}")
    tokens: list[str] = []
    real = Database.insert_arrow

    def counting(self: Database, table: str, rows: pa.Table, token: str) -> None:
        tokens.append(token)
        real(self, table, rows, token)

    monkeypatch.setattr(Database, "insert_arrow", counting)
    records = [record(first, 500) for first in range(1, POISON - 42, 500)]
    records += [record(POISON - 42, 42), record(POISON, 1, trace_state="poison"), record(POISON + 1, ROWS - POISON)]
    for _ in range(2):
        lane, source = Delivery(dsn).run(batch(1, *records))
        [(sequences, reason)] = source.set_aside
        assert says in reason
        assert len(sequences) == 1
        kept = decode(source.kept)
        assert [s for _, s, _ in kept.hex_ids()] == [f"{POISON:016x}"]
        assert lane.progress.spans == ROWS - 1
        assert counts(dsn) == whole(ROWS - 1)
    with connect(dsn) as db:
        booked = db.rows("SELECT state, sum(count) AS n FROM ledger GROUP BY state ORDER BY state")
    assert [(r["state"], r["n"]) for r in booked] == [("quarantined", 1), ("stored", ROWS - 1)]
    record_property("figure", f"{ROWS - 1} stored once, 1 quarantined, found with {len(set(tokens)) - 2} INSERTs")
