"""Tenants at reading: a command for one tenant shows nothing of another, and no statement of ours could."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from evalgate.app import run
from evalgate.database import TENANT, TenantDatabase, choose_tenant
from evalgate.errors import BadInput
from evalgate.review.labels import draft, save
from evalgate.select.where import FIELDS, OPERATORS, FieldType, parse_where, span_fields
from schema.verdict import Label, Verdict
from tests.evalgate.traffic import START, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporters.clickhouse.connect import Database

ROOT = Path(__file__).parents[2]
FILES = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "evalgate").rglob("*.sql"))
OPERATOR = {f"evalgate/sql/{name}.sql" for name in ("engine", "erasures", "may_write", "now", "tenants")} | {
    name for name in FILES if name.startswith(("evalgate/ledger/", "evalgate/erase/", "evalgate/sample/sql/service/"))
}
"""What is for whoever runs the service: which tenants there are, counts of all of them, what is to be and was erased,
and the service's own settings."""
VIEW = re.compile(r"tenant_[a-z_]+\(tenant = \{tenant: String\}\)")
A, B = "0a" * 16, "0b" * 16
SECRET = "canary of globex"


def sources(text: str) -> list[str]:
    """Return what a statement reads, each as ClickHouse would be told."""
    whole = text if re.match(r"(\s*--.*\n)*\s*(SELECT|WITH|INSERT)", text) else f"SELECT 1 WHERE {text}"
    (tree,) = sqlglot.parse(whole, dialect="clickhouse")
    assert tree is not None
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    return [
        f"{table.db}.{table.name}" if table.db else table.this.sql("clickhouse")
        for table in tree.find_all(exp.Table)
        if table.name not in own or table.db
    ]


@pytest.mark.parametrize("name", [name for name in FILES if name not in OPERATOR])
def test_every_statement_reads_views_that_demand_the_tenant(name: str) -> None:
    text = (ROOT / name).read_text()
    read = sources(text)
    assert read, name
    assert [s for s in read if not VIEW.fullmatch(s)] == []
    assert TENANT in text


def test_a_base_table_in_a_statement_would_be_seen() -> None:
    for text in (
        "SELECT 1 FROM traces WHERE tenant = {tenant:String}",
        "trace_id IN (SELECT trace_id FROM trace_parts)",
        "SELECT 1 FROM tenant_traces(tenant = {tenant:String}) WHERE 1 IN (SELECT 1 FROM spans)",
        "SELECT 1 FROM tenant_traces(tenant = 'default')",
        "WITH x AS (SELECT * FROM spans) SELECT * FROM x",
        "SELECT 1 FROM evalgate.tenant_traces",
    ):
        assert [s for s in sources(text) if not VIEW.fullmatch(s)], text


def test_no_statement_of_ours_is_hidden_in_code() -> None:
    """SQL for users lives in files, which the test above reads."""
    for path in (ROOT / "evalgate").rglob("*.py"):
        if path.parent.name in ("erase", "ledger", "demo"):  # the operator's, and what anybody may ask by HTTP
            continue
        text = re.sub(r'"""(.|\n)*?"""', "", path.read_text())
        found = re.findall(r"\bFROM\s+(?:tenant_)?[a-z_]+\b(?=.*[\"'])", text)
        assert [f for f in found if not f.startswith("FROM system")] == [], path


def test_only_the_operators_commands_open_a_database_of_all_tenants() -> None:
    found = {str(p.relative_to(ROOT)) for p in (ROOT / "evalgate").rglob("*.py") if "open_database" in p.read_text()}
    assert found == {
        "evalgate/database.py",
        "evalgate/erase/commands.py",
        "evalgate/ledger/commands.py",
        "evalgate/select/commands.py",  # `query`, which is confined by filters
    }


def conditions() -> st.SearchStrategy[str]:
    """Draw `--where` conditions, hostile values among them."""
    hostile = st.sampled_from(
        ["' OR 1 = 1 --", "'; DROP TABLE spans", "{tenant:String}", "globex", "\\' OR tenant='globex", "%", SECRET, ")"]
    )

    kinds = {**FIELDS, **{f"span.{name}": kind for name, (_, kind) in span_fields().items()}}

    def one(field: str) -> st.SearchStrategy[str]:
        kind = kinds[field]
        value: st.SearchStrategy[Any] = {
            FieldType.NUMBER: st.integers(-(10**9), 10**9).map(str),
            FieldType.FLAG: st.sampled_from(["true", "false"]),
            FieldType.TIME: st.sampled_from(["1970-01-01", "2026-11-20", "2100-01-01T00:00"]),
        }.get(kind, hostile | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
        return st.tuples(st.sampled_from(OPERATORS[kind]), value).map(lambda x: f"{field} {x[0]} {x[1]}")

    words = hostile.filter(str.split).map(lambda said: f"text ~ {said}")
    return st.sampled_from(sorted(kinds)).flatmap(one) | words


@given(st.lists(conditions(), max_size=4))
def test_what_the_builder_makes_is_one_select_of_the_views(found: list[str]) -> None:
    where = parse_where(found)
    text = resources.files("evalgate.select").joinpath("sql", "traces.sql").read_text()
    ours = text + parse_where(["text ~ x", "span.error = true"]).sql
    whole = text.replace("/* conditions */", where.sql)
    assert len(sqlglot.parse(whole, dialect="clickhouse")) == 1
    assert [s for s in sources(whole) if not VIEW.fullmatch(s)] == []
    for value in where.parameters.values():
        if isinstance(value, str) and len(value) > 3:
            assert value not in whole.replace(text, "") or value in ours


@pytest.fixture(scope="module")
def two(dsn: str) -> Iterator[str]:
    """Keep a database of two tenants with the same ids; return its DSN."""
    from exporters.clickhouse.connect import connect  # noqa: PLC0415 - as the fixtures do

    with connect(dsn) as opened:
        for table in ("spans", "trace_parts", "feedback", "annotations", "case_events"):
            opened.command(f"TRUNCATE TABLE {table}")
        for tenant, answer in (("acme", "acme says"), ("globex", SECRET)):
            database = TenantDatabase(opened, tenant)
            traffic = Traffic(database)
            traffic.refund(A, answer)
            if tenant == "globex":
                traffic.refund(B, answer)
            database.insert_rows("feedback", [feedback(t, answer) for t in (A, B)[: traffic.count]])
            label = Label(A, "", Verdict.BAD, answer.replace(" ", "_"), answer, answer, answer)
            save(database, [draft(database, label)])
        yield dsn


def feedback(trace: str, comment: str) -> dict[str, Any]:
    return {
        "received_at": START,
        "time_unix_ns": 1,
        "trace_id": trace,
        "span_id": "",
        "name": "thumbs",
        "comment": comment,
        "source": "api",
        "polarity": "negative",
    }


COMMANDS: Sequence[tuple[str, ...]] = (
    ("traces",),
    ("traces", "--failing", "--since", "2020-01-01"),
    ("traces", "--where", "trace_id = " + B),
    ("traces", "show", A),
    ("traces", "show", B),
    ("traces", "show", B[:4]),
    ("cases", "list"),
    ("cases", "show", "case-"),
    ("schema", "unmapped"),
    ("dataset", "build", "--name", "d"),
    ("query", "SELECT * FROM traces"),
    ("query", "SELECT * FROM settled_spans"),
    ("query", "SELECT * FROM spans"),
    ("query", "SELECT * FROM feedback"),
    ("query", "SELECT * FROM annotations"),
    ("query", "SELECT * FROM cases"),
    ("query", "SELECT * FROM case_events"),
    ("query", "SELECT * FROM otel_traces"),
    ("query", "SELECT * FROM tenant_traces(tenant = 'globex')"),
    ("query", f"SELECT '{B}' AS wanted, count() FROM traces WHERE trace_id = '{B}'"),
    ("query", "SELECT throwIf(name = 'x') FROM spans WHERE tenant = 'globex'"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_for_one_tenant_shows_nothing_of_another(
    two: str, project: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    form = ("--json",) if COMMANDS.index(command) % 2 else ()
    code = run([*command, "--tenant", "acme", "--dsn", two, *form])
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert "canary" not in said
    assert "globex" not in said.replace("'globex'", "")
    if B not in " ".join(command):
        assert B not in said
    assert code in (0, 2), said
    files = [p.read_text() for p in project.rglob("*") if p.is_file()]
    assert not any("canary" in text for text in files)


def test_the_commands_show_their_own(two: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else the test above could not fail."""
    for command in COMMANDS:
        if command[0] in ("cases", "dataset", "schema") or B in " ".join(command) or "globex" in " ".join(command):
            continue
        assert run([*command, "--tenant", "globex", "--dsn", two, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)
    assert run(["traces", "show", B, "--tenant", "globex", "--dsn", two]) == 0
    assert "canary" in capsys.readouterr().out
    assert run(["query", "SELECT DISTINCT tenant FROM spans ORDER BY 1", "--all-tenants", "--json", "--dsn", two]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [{"tenant": "acme"}, {"tenant": "globex"}]


def argument(text: str) -> st.SearchStrategy[list[str]]:
    """Draw a command that takes this text."""
    return st.sampled_from(
        [
            ["traces", "--service", text],
            ["traces", "show", text],
            ["cases", "list", "--failure-mode", text],
            ["cases", "show", text],
        ]
    )


LISTS = st.lists(conditions(), max_size=3).map(lambda found: ["traces", *(p for c in found for p in ("--where", c))])
HOSTILE = st.sampled_from(["globex", "x' OR 1=1 --", "{tenant:String}", B, SECRET])


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(command=LISTS | HOSTILE.flatmap(argument))
def test_no_condition_and_no_argument_reaches_another_tenant(
    two: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run([*command, "--json", "--tenant", "acme", "--dsn", two])
    out = capsys.readouterr().out
    assert "canary" not in out
    assert B not in out


def test_several_tenants_must_be_told_apart(
    two: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["traces"], ["cases", "list"], ["query", "SELECT 1"], ["label", "--undo", "1"]):
        assert run([*command, "--dsn", two]) == 2
        assert "several tenants: acme, globex" in capsys.readouterr().err
    monkeypatch.setenv("EVALGATE_TENANT", "acme")
    assert run(["traces", "--dsn", two]) == 0
    assert run(["traces", "--tenant", "../x", "--dsn", two]) == 2
    assert "not the name of a tenant" in capsys.readouterr().err


def test_the_only_tenant_needs_no_name(opened: Database) -> None:
    assert choose_tenant(opened, None) == "default"
    Traffic(TenantDatabase(opened, "acme")).refund(A)
    assert choose_tenant(opened, None) == "acme"
    assert choose_tenant(opened, "other") == "other"
    Traffic(TenantDatabase(opened, "b")).refund(A)
    with pytest.raises(BadInput, match="acme, b"):
        choose_tenant(opened, None)
