"""S2: one tenant asks for the rows of another.

Injected: two tenants send spans of the same ids at the same time; the first asks for the second's rows with its own key
over the HTTP interface, and through every list and lookup of the command line: their ids, SQL in every argument,
`'; DROP`, placeholders in texts, other spellings of tables, views and paths, errors that would tell.
Holds: no row, text, id or count of the other in any answer, nothing is dropped, one SELECT a request; each still has
all of its own rows, and none was changed by spans of the other with the same ids.
Figure: 70 questions, 0 rows of the other tenant.
"""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.auth.key import new_key
from collector.auth.key_file import KeyFile
from evalgate.app import run
from schema.identity import Scope
from tests.faults.harness import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.faults.harness import Collector, Launch

CANARY = "canary"
SHARED, OWN = b"s" * 16, {"acme": b"a" * 16, "globex": b"g" * 16}
SPANS = 20
TEXTS = (
    "globex",
    "' OR 1=1 --",
    "'; DROP TABLE spans; --",
    "\\' OR tenant = 'globex",
    "{tenant:String}",
    "{x:String}",
    "*",
    "%",
    "x' UNION ALL SELECT * FROM spans --",
    OWN["globex"].hex(),
    SHARED.hex(),
)
STATEMENTS = (
    "SELECT * FROM spans WHERE tenant = 'globex'",
    "SELECT * FROM traces WHERE trace_id = '{globex}'",
    "SELECT count() FROM settled_spans WHERE tenant != 'acme'",
    "SELECT * FROM tenant_traces(tenant = 'globex')",
    "SELECT * FROM tenant_spans(tenant = {{t:String}})",
    "SELECT name FROM spans WHERE throwIf(tenant = 'globex', name) = 0",
    "SELECT * FROM trace_parts_from_spans",
    "SELECT * FROM spans PREWHERE tenant = 'globex'",
    "SELECT 1; DROP TABLE spans",
    "SELECT * FROM merge('', '.*')",
    "SELECT * FROM spans SETTINGS additional_table_filters = {{}}",
    "SELECT '{globex}' IN (SELECT trace_id FROM traces) AS there HAVING there",
)


def body_of(tenant: str) -> bytes:
    """Return a request: one trace that the other tenant has as well, and one of its own."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(SPANS):
        span = scope.spans.add(
            trace_id=SHARED if number % 2 else OWN[tenant],
            span_id=(number + 1).to_bytes(8, "big"),
            name=f"chat {tenant if tenant == 'acme' else CANARY}",
            start_time_unix_nano=time.time_ns(),
            end_time_unix_nano=time.time_ns() + 1,
        )
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="session.id").value.string_value = f"{CANARY if tenant == 'globex' else tenant} session"
    return request.SerializeToString()


def post(address: str, path: str, body: bytes, key: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        own = {"authorization": f"Bearer {key}", "content-type": "application/x-protobuf"}
        connection.request("POST", path, body, own | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace") + str(answer.getheaders())


def keys_of(collector: Collector) -> Callable[[str, Scope], str]:
    file = KeyFile(collector.data_dir / "keys.json")

    def make(tenant: str, scope: Scope) -> str:
        text, kept = new_key(tenant=tenant, scopes=frozenset({scope}), now_unix_s=int(time.time()))
        file.add(kept)
        return text

    return make


def test_no_question_of_one_tenant_shows_a_row_of_another(
    launch: Launch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    auth: dict[str, Any] = {"auth": {"mode": "keys"}}
    collector = launch(config={"receivers": {"otlp": auth}, "extensions": {"clickhouse_http": auth}})
    make = keys_of(collector)
    senders = {tenant: make(tenant, Scope.INGEST) for tenant in OWN}
    reader = make("acme", Scope.READ)
    collector.start()
    for tenant, key in senders.items():
        assert post(collector.http, "/v1/traces", body_of(tenant), key)[0] == 200
    until(lambda: _count(collector) == {"acme": SPANS, "globex": SPANS}, "both have all of their spans")

    asked = 0
    endpoint = f"127.0.0.1:{collector.ports['clickhouse']}"
    for statement in STATEMENTS:
        text = statement.format(globex=OWN["globex"].hex())
        for path in ("/", f"/?query={quote(text)}&param_t=globex", "/?database=system&param_t=globex", "/%2F"):
            body = b"" if "query=" in path else text.encode()
            _, said = post(endpoint, path, body, reader, {"x-clickhouse-database": "default"} if asked % 2 else None)
            _assert_nothing(said, text)
            asked += 1

    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(TEXTS):
        commands = (
            ["traces", "--service", text],
            ["traces", "--where", f"session_id ~ {text}"],
            ["traces", "show", text],
            ["cases", "list", "--failure-mode", text],
            ["cases", "show", text],
            ["query", f"SELECT * FROM traces WHERE root_name = '{text}'"],
            ["query", f"SELECT * FROM spans WHERE name LIKE '{text}' OR 1"],
        )
        # Each text with two of them: tests/evalgate/test_tenants.py has all, and more.
        for command in (commands[number % 7], commands[(number + 3) % 7]):
            run([*command, "--json", "--tenant", "acme", "--dsn", collector.dsn])
            captured = capsys.readouterr()
            _assert_nothing(captured.out, "")
            asked += 1
    assert run(["traces", "--json", "--tenant", "acme", "--dsn", collector.dsn]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {row["trace_id"]: row["span_count"] for row in listed["rows"]} == {
        SHARED.hex(): SPANS // 2,
        OWN["acme"].hex(): SPANS // 2,
    }
    assert _count(collector) == {"acme": SPANS, "globex": SPANS}
    record_property("figure", f"{asked} questions, 0 rows of the other")


def _count(collector: Collector) -> dict[str, int]:
    rows = collector.rows("SELECT tenant, count() AS n FROM settled_spans GROUP BY tenant")
    return {row["tenant"]: row["n"] for row in rows}


def _assert_nothing(said: str, asked: str) -> None:
    """See that nothing of the other tenant is said, but for what the question itself says."""
    assert CANARY not in said
    if OWN["globex"].hex() not in asked:
        assert OWN["globex"].hex() not in said.lower()
