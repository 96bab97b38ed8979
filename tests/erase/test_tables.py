"""No table that says something of traces is forgotten when one is erased."""

from __future__ import annotations

import re

from evalgate.erase.database import BY_TENANT, TABLES
from exporters.clickhouse.migrate import load

TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\s*\((.*)\)\s*ENGINE", re.DOTALL)
KEPT = {
    "ledger": "counts, which must add up after an erasure, too",
    "retention_counts": "counts",
    "baseline_rates": "rates of the sample",
}
"""Tables of tenants that hold nothing of a trace, with what they hold."""


def test_every_table_of_a_tenant_is_erased_from_or_says_nothing_of_traces() -> None:
    columns = {found[1]: found[2] for m in load() for s in m.statements if (found := TABLE.search(s))}
    of_tenants = {name for name, text in columns.items() if re.search(r"^\s*tenant ", text, re.MULTILINE)}
    assert of_tenants - TABLES.keys() == KEPT.keys()
    assert {n for n in BY_TENANT if re.search(r"^\s*trace_id ", columns[n], re.MULTILINE)} == set()
