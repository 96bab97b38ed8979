"""What a DSN may say of a cluster, and how a statement is told that its table has replicas."""

from __future__ import annotations

import pytest

from exporters.clickhouse.cluster import local_database, sharding_key, with_replicas
from exporters.clickhouse.dsn import ServerDsn, parse_dsn
from schema.errors import ConfigError


def test_a_dsn_names_a_cluster_and_where_its_servers_are() -> None:
    dsn = parse_dsn("http://user:hush@lb:8123/evalgate?cluster=prod-1&nodes=a:8123,[::1]:8124&compression=none")
    assert isinstance(dsn, ServerDsn)
    assert (dsn.cluster, dsn.nodes, dsn.compression) == ("prod-1", (("a", 8123), ("::1", 8124)), "none")
    assert str(dsn) == "http://lb:8123/evalgate?cluster=prod-1"
    assert local_database(dsn.database) == "evalgate_local"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("cluster=", "not a name of a cluster"),
        ("cluster=a'b", "not a name of a cluster"),
        ("nodes=a:1", "no cluster="),
        ("cluster=x&nodes=a", "'a' is not host:port"),
        ("cluster=x&nodes=a:0", "is not host:port"),
        ("cluster=x&nodes=a:99999", "is not host:port"),
        ("cluser=x", "unknown options: cluser; known are cluster, compression, nodes"),
    ],
)
def test_what_is_wrong_with_it_is_said(options: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_dsn(f"http://h/db?{options}")


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"trace_id": "FixedString(16)"}, "cityHash64(trace_id)"),
        ({"trace_id": "String"}, "cityHash64(unhex(trace_id))"),
        ({"minute": "DateTime"}, "cityHash64(tenant, minute)"),
    ],
)
def test_a_row_goes_by_its_trace_or_by_its_key(columns: dict[str, str], key: str) -> None:
    assert sharding_key(columns, "tenant, minute") == key


def test_only_what_makes_a_table_is_changed_for_replicas() -> None:
    table = (
        "CREATE TABLE IF NOT EXISTS ledger\n(a Int64)\nENGINE = SummingMergeTree((a))\nORDER BY a\n"
        "SETTINGS non_replicated_deduplication_window = 10000"
    )
    made = with_replicas(table, "x_local")
    assert (
        "ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/x_local/ledger', '{replica}', (a))\n" in made
    )
    assert "SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 2592000" in made
    view = "CREATE OR REPLACE VIEW v AS\nSELECT 'ENGINE = MergeTree'"
    assert with_replicas(view, "x_local") == view
