"""The HTTP interface of the embedded database with keys: whose rows a key reads, whatever it asks."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import clickhouse_connect
import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.auth.key import new_key
from collector.auth.key_file import KeyFile
from evalgate.database import TenantDatabase
from exporters.clickhouse.connect import _served, connect
from exporters.clickhouse.dsn import ServerDsn
from exporters.clickhouse.lock import read_owner
from exporters.clickhouse.migrate import migrate
from schema.errors import ConfigError
from schema.identity import Scope
from tests.clickhouse.test_http import Reply, make, running
from tests.evalgate.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

A, B = "0a" * 16, "0b" * 16
CANARY = "canary of globex"


class Served:
    """A running extension with keys of two tenants."""

    def __init__(self, dsn: str, url: str, keys: Mapping[str, str]) -> None:
        self.dsn, self.url, self.keys = dsn, url, keys
        self.port = urlsplit(url).port or 0

    def ask(self, sql: str, key: str | None, *, url: str = "/", headers: Mapping[str, str] | None = None) -> Reply:
        own = {} if key is None else {"authorization": f"Bearer {self.keys[key]}"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("POST", url, sql.encode(), {**own, **(headers or {})})
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())


def filled(dsn: str) -> None:
    """Fill a database with the traces of two tenants, of one id and of another."""
    with connect(dsn) as db:
        migrate(db)
        for tenant, answer in (("acme", "acme says"), ("globex", CANARY)):
            traffic = Traffic(TenantDatabase(db, tenant))
            traffic.refund(A, answer)
            if tenant == "globex":
                traffic.refund(B, answer)
                traffic.trace("0c" * 16, [{"name": "globex alone", "user_id": "globex alone"}])
        # Into one part: of another part an index would see that nothing in it is meant.
        for table in ("spans", "trace_parts"):
            db.command(f"OPTIMIZE TABLE {table} FINAL")


@pytest.fixture(scope="module")
def served(embedded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    dsn = f"chdb://{embedded_folder}?database=keyed"
    filled(dsn)
    file = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    keys = {}
    for name, tenant, scope in (
        ("acme", "acme", Scope.READ),
        ("globex", "globex", Scope.READ),
        ("admin", "ops", Scope.ADMIN),
        ("sender", "acme", Scope.INGEST),
    ):
        keys[name], kept = new_key(tenant=tenant, scopes=frozenset({scope}), now_unix_s=int(time.time()))
        file.add(kept)
    config = {"endpoint": "127.0.0.1:0", "auth": {"mode": "keys", "keys_file": str(file.path)}}
    with running(dsn, config) as url:
        yield Served(dsn, url, keys)


READS = [
    "SELECT DISTINCT tenant FROM spans",
    "SELECT DISTINCT tenant FROM settled_spans",
    "SELECT DISTINCT tenant FROM traces",
    "SELECT DISTINCT tenant FROM trace_parts",
    "SELECT DISTINCT tenant FROM keyed.spans",
    "SELECT DISTINCT tenant FROM otel_traces",
    "SELECT DISTINCT tenant FROM calls",
    "SELECT max(tenant) FROM spans",
    "WITH x AS (SELECT * FROM spans) SELECT DISTINCT tenant FROM x",
    "SELECT DISTINCT tenant FROM view(SELECT * FROM spans)",
    "SELECT DISTINCT tenant FROM (SELECT * FROM spans UNION ALL SELECT * FROM spans)",
    "SELECT DISTINCT a.tenant FROM spans AS a JOIN spans AS b ON a.trace_id = b.trace_id",
    "SELECT tenant FROM spans ORDER BY tenant DESC LIMIT 1",
    "SELECT DISTINCT tenant FROM tenant_traces(tenant = 'acme')",
    "SELECT arrayJoin(groupUniqArray(tenant)) FROM spans",
]


@pytest.mark.parametrize("sql", READS)
def test_a_key_reads_its_own_rows(served: Served, sql: str) -> None:
    assert served.ask(sql, "acme").body == b"acme\n"


TELLTALES = [
    "SELECT count() FROM spans WHERE throwIf(name = 'globex alone', 'told') = 0",
    "SELECT count() FROM (SELECT * FROM spans) WHERE throwIf(name = 'globex alone', 'told') = 0",
    "SELECT count() FROM settled_spans WHERE throwIf(name = 'globex alone', 'told') = 0",
    "SELECT count() FROM traces WHERE throwIf(root_name = 'globex alone', 'told') = 0",
    "SELECT count() FROM otel_traces WHERE throwIf(SpanName = 'globex alone', 'told') = 0",
    "SELECT count() FROM spans WHERE intDiv(1, name != 'globex alone') = 1",
    "SELECT count() FROM spans AS a JOIN spans AS b USING span_id WHERE throwIf(b.name = 'globex alone') = 0",
    "SELECT count() FROM spans JOIN (SELECT * FROM spans WHERE throwIf(name = 'globex alone') = 0) AS b USING name",
    "SELECT name FROM spans WHERE throwIf(name = 'globex alone') = 0 ORDER BY start_time DESC LIMIT 1",
    "SELECT (SELECT count() FROM spans WHERE throwIf(name = 'globex alone') = 0)",
    "SELECT count() FROM trace_parts WHERE throwIf(trace_id = unhex(repeat('0C', 16))) = 0",
    "SELECT toUInt8(name) FROM spans WHERE name = 'globex alone'",
    "SELECT count() FROM spans WHERE throwIf(tenant = 'globex', 'told') = 0",
    "SELECT count() FROM settled_spans WHERE throwIf(tenant = 'globex' AND output_text LIKE '%canary%', 'told') = 0",
    "SELECT count() FROM traces WHERE throwIf(tenant = 'globex', 'told') = 0",
    "SELECT count() FROM spans WHERE intDiv(1, tenant != 'globex') = 1",
    "SELECT count() FROM spans GROUP BY tenant HAVING throwIf(tenant = 'globex', 'told') = 0",
    "SELECT throwIf(tenant = 'globex', 'told') FROM spans",
    "SELECT countIf(throwIf(tenant = 'globex', 'told')) FROM spans",
    "SELECT count() FROM (SELECT * FROM spans) WHERE throwIf(tenant = 'globex', 'told') = 0",
    "SELECT count() FROM spans AS a JOIN spans AS b ON a.span_id = b.span_id WHERE throwIf(b.tenant = 'globex') = 0",
]


@pytest.mark.parametrize("sql", TELLTALES)
def test_no_error_tells_of_rows_that_are_not_shown(served: Served, sql: str) -> None:
    reply = served.ask(sql, "acme")
    assert reply.status == 200, reply.body
    assert "read_rows" in (summary := json.loads(reply.headers["x-clickhouse-summary"]))
    assert summary["read_rows"] == "0"


REFUSED = [
    "SELECT * FROM trace_parts_from_spans",
    "SELECT 'globex' IN trace_parts_from_spans",
    "SELECT 'globex' IN keyed.trace_parts_from_spans",
    "WITH trace_parts_from_spans AS (SELECT 1) SELECT * FROM trace_parts_from_spans",
    "WITH x AS (SELECT * FROM trace_parts_from_feedback) SELECT * FROM x",
    "SELECT count() FROM spans PREWHERE tenant = 'globex'",
    "SELECT count() FROM spans PREWHERE throwIf(name = 'x') = 0",
    "EXPLAIN indexes = 1 SELECT * FROM spans WHERE session_id = 'x'",
    "EXPLAIN ESTIMATE SELECT * FROM spans",
    "SELECT * FROM migrations",
    "SELECT * FROM nonesuch",
    "DESCRIBE trace_parts_from_spans",
    "SHOW CREATE TABLE trace_parts_from_spans",
    "SELECT * FROM system.parts",
    "SELECT * FROM system.mutations",
    "SELECT * FROM system.events",
    "SELECT 1 SETTINGS additional_table_filters = {}",
    "SELECT * FROM spans SETTINGS additional_table_filters = {'spans': '1'}",
    "INSERT INTO spans (tenant) VALUES ('globex')",
    "SELECT * FROM merge('keyed', '.*')",
    "SELECT * FROM file('/etc/passwd')",
    "SELECT * FROM {t:Identifier}",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_would_reach_round_the_fence_is_refused(served: Served, sql: str) -> None:
    reply = served.ask(sql, "acme")
    assert reply.status in (403, 400, 404), reply.body
    assert b"globex" not in reply.body.replace(b"'globex'", b"")


@pytest.mark.parametrize(
    "setting",
    ["additional_table_filters={}", "optimize_move_to_prewhere=1", "query_plan_merge_filters=1", "readonly=0"],
)
def test_no_setting_of_the_url_changes_it(served: Served, setting: str) -> None:
    reply = served.ask("SELECT DISTINCT tenant FROM spans", "acme", url=f"/?{quote(setting, safe='=')}")
    assert reply.status == 403 or reply.body == b"acme\n"


def test_the_next_caller_is_not_confined_by_the_last_one(served: Served) -> None:
    for _ in range(6):  # each of the handles
        assert served.ask("SELECT DISTINCT tenant FROM spans", "acme").body == b"acme\n"
        assert served.ask("SELECT DISTINCT tenant FROM spans", "globex").body == b"globex\n"
        assert served.ask("SELECT DISTINCT tenant FROM spans ORDER BY 1", "admin").body == b"acme\nglobex\n"
        assert served.ask("SELECT nonesuch", "acme").status == 404


def test_admin_reads_all_but_owns_nothing(served: Served) -> None:
    assert served.ask("SELECT * FROM file('/etc/passwd')", "admin").status == 403
    assert served.ask("INSERT INTO spans (tenant) VALUES ('x')", "admin").status == 403
    assert served.ask("EXPLAIN SELECT 1", "admin").status == 200


def test_nobody_reads_without_a_key_that_may(served: Served) -> None:
    for reply in (
        served.ask("SELECT 1", None),
        served.ask("SELECT 1", None, headers={"x-clickhouse-user": "default"}),
        served.ask("SELECT 1", None, headers={"x-clickhouse-key": "eg_wrong"}),
        served.ask("SELECT 1", None, url=f"/?user=default&password={served.keys['acme']}"),
        served.ask("SELECT 1", "sender"),
        served.ask("SELECT 1", "acme", headers={"x-evalgate-tenant": "globex"}),
    ):
        assert reply.status == 403
        assert not any(key[16:].encode() in reply.body for key in served.keys.values())
    assert served.ask("", None, url="/ping").status == 200


@pytest.mark.parametrize("path", ["/%2F", "/%2e%2e/", "/ping/../", "/%252F", "/ping%2F..", "//", "/ping/x"])
def test_no_other_spelling_of_a_path_leads_anywhere(served: Served, path: str) -> None:
    reply = served.ask("SELECT tenant FROM spans", None, url=path)
    assert b"acme" not in reply.body
    assert reply.status in (403, 404)


def test_the_owner_and_the_usual_clients_get_in(served: Served, embedded_folder: Path) -> None:
    owner = read_owner(embedded_folder)
    assert owner is not None
    token = {"x-clickhouse-user": "evalgate", "x-clickhouse-key": owner.token}
    assert served.ask("SELECT DISTINCT tenant FROM spans ORDER BY 1", None, headers=token).body == b"acme\nglobex\n"
    basic = base64.b64encode(f"grafana:{served.keys['acme']}".encode()).decode()
    reply = served.ask("SELECT DISTINCT tenant FROM spans", None, headers={"authorization": f"Basic {basic}"})
    assert reply.body == b"acme\n"
    with closing(
        clickhouse_connect.get_client(
            host="127.0.0.1", port=served.port, username="reader", password=served.keys["acme"]
        )
    ) as client:
        assert client.query("SELECT DISTINCT tenant FROM traces").result_rows == [("acme",)]


PIECES = st.sampled_from(
    ["tenant", "'globex'", "name", "trace_id", "count()", "1", "throwIf(tenant = 'globex')", "*", "any(tenant)"]
)
TABLES = st.sampled_from(
    """
spans
traces
settled_spans
trace_parts
feedback
flagged_traces
otel_traces
keyed.spans
ledger
events
tenant_traces(tenant = 'globex')
view(SELECT * FROM traces)
""".strip().splitlines()
)
CLAUSES = st.sampled_from(
    """
WHERE tenant = 'globex'
WHERE tenant != 'acme'
WHERE 1 OR tenant = 'globex'
ORDER BY 1
LIMIT 5
GROUP BY ALL
WHERE trace_id IN (SELECT trace_id FROM traces)
WHERE 'globex' IN (SELECT tenant FROM spans)
""".splitlines()
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES, TABLES, CLAUSES, CLAUSES)
def test_no_statement_that_passes_shows_a_row_of_another(
    served: Served, what: str, table: str, first: str, second: str
) -> None:
    reply = served.ask(f"SELECT {what} FROM {table} {first} {second}", "acme", url="/?default_format=JSONCompact")
    if reply.status != 200:
        assert b"canary" not in reply.body
        return
    rows = json.loads(reply.body)["data"]
    told = json.dumps(rows).replace('"globex"', "") if what == "'globex'" else json.dumps(rows)
    assert "canary" not in told
    assert "globex" not in told
    assert B not in told.lower()


def test_without_keys_one_tenant_is_open_and_of_several_only_the_default(embedded_folder: Path, tmp_path: Path) -> None:
    dsn = f"chdb://{embedded_folder}?database=anonymous"
    with connect(dsn) as db:
        migrate(db)
        Traffic(TenantDatabase(db, "acme")).refund(A)
    with running(dsn, {"endpoint": "127.0.0.1:0"}) as url:
        served = Served(dsn, url, {})
        assert served.ask("SELECT DISTINCT tenant FROM spans", None).body == b"acme\n"
        assert served.ask("EXPLAIN SELECT 1", None).status == 200
        with connect(dsn) as db:
            Traffic(TenantDatabase(db, "default")).refund(A)
        assert served.ask("SELECT DISTINCT tenant FROM spans", None).body == b"default\n"
    with running(dsn, {"endpoint": "127.0.0.1:0", "auth": {"tenant": "acme"}}) as url:
        assert Served(dsn, url, {}).ask("SELECT DISTINCT tenant FROM spans", None).body == b"acme\n"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_it_speaks_tls_and_our_own_processes_do(embedded_folder: Path, tmp_path: Path) -> None:
    ca = trustme.CA()
    issued = ca.issue_cert("db.example")
    issued.private_key_pem.write_to_path(tmp_path / "key")
    (tmp_path / "cert").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
    dsn = f"chdb://{embedded_folder}?database=secured"
    with connect(dsn) as db:
        migrate(db)
    tls = {"cert_file": str(tmp_path / "cert"), "key_file": str(tmp_path / "key")}
    with running(dsn, {"endpoint": "127.0.0.1:0", "tls": tls}) as url:
        assert url.startswith("https://127.0.0.1:")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ca.configure_trust(context)
        context.check_hostname = False
        with closing(
            http.client.HTTPSConnection("127.0.0.1", urlsplit(url).port or 0, timeout=10, context=context)
        ) as connection:
            connection.request("GET", "/ping")
            assert connection.getresponse().read() == b"Ok.\n"
        owner = read_owner(embedded_folder)
        assert owner is not None
        # As `connect` does from another process: the certificate is for another name.
        target = ServerDsn("127.0.0.1", urlsplit(url).port or 0, verify=False, secure=True)
        target = replace(target, user="evalgate", password=owner.token, database="secured")
        with _served(target, url, create_database=False) as db:
            Traffic(TenantDatabase(db, "acme")).refund(A)
            assert db.rows("SELECT DISTINCT tenant FROM spans") == [{"tenant": "acme"}]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "anyone there could read"),
        ({"auth": {"mode": "keys"}}, "keys could be read"),
        ({"tls": {"cert_file": "a", "key_file": "b"}}, "anyone there could read"),
    ],
)
def test_beyond_loopback_it_takes_keys_and_tls(embedded_folder: Path, config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make(f"chdb://{embedded_folder}", {"endpoint": "0.0.0.0:8123", **config})
