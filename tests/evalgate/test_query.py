"""`evalgate query`: one statement that reads, a bounded answer."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run
from evalgate.errors import BadInput
from evalgate.select.query import QueryFormat, ask, reading_statement, run_query
from evalgate.terminal import Terminal

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("SELECT 1", "SELECT 1"),
        ("select 1;", "select 1"),
        ("-- note; here\nSELECT ';' AS x ; ", "-- note; here\nSELECT ';' AS x "),
        ("WITH 1 AS a SELECT a", "WITH 1 AS a SELECT a"),
        ("(SELECT 1)", "(SELECT 1)"),
        ("SELECT format('{}', 1)", "SELECT format('{}', 1)"),
        ("SHOW TABLES", "SHOW TABLES"),
        ("explain SELECT 1", "explain SELECT 1"),
    ],
)
def test_reading_statements_pass(text: str, sent: str) -> None:
    assert reading_statement(text) == sent


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no statement"),
        (" ; ", "there is no statement"),
        ("DROP TABLE spans", "only reads; DROP"),
        ("/* SELECT */ insert into spans select 1", "only reads; INSERT"),
        ("SELECT 1; DROP TABLE spans", "one statement at a time"),
        ("SELECT 1;; DROP TABLE spans", "one statement at a time"),
        ("SELECT 'it''s; fine'; DROP TABLE spans", "one statement at a time"),
        ("SELECT 1 INTO OUTFILE 'x'", "does not write files"),
        ("SELECT 1 into  outfile 'x' TRUNCATE", "does not write files"),
        ("SELECT 1 FORMAT JSON", "leave out FORMAT"),
        ("SELECT 'x", "this is not SQL"),
    ],
)
def test_what_does_not_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        reading_statement(text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "-- what a page says to paste\nSELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "DESCRIBE TABLE file('/etc/passwd')",
        "SELECT 1 SETTINGS max_execution_time = 0",
    ],
)
def test_the_embedded_engine_reaches_nothing_outside_the_database(embedded_db: Database, text: str) -> None:
    with pytest.raises(BadInput, match="not allowed"):
        ask(embedded_db, text, 3, typed=True)


def test_comments_and_the_tables_of_the_database_pass(opened: Database) -> None:
    assert ask(opened, "-- how many\nSELECT count() AS n FROM traces;", 3, typed=True).rows == ((0,),)
    assert ("traces",) in ask(opened, "SHOW TABLES", 100, typed=True).rows


def test_a_server_has_its_own_grants_and_no_fence(opened: Database, dsn: str) -> None:
    statement = "SELECT count() > 0 AS found FROM system.query_cache SETTINGS max_threads = 1"
    if dsn.startswith("chdb"):
        with pytest.raises(BadInput, match="not allowed"):
            ask(opened, statement, 1, typed=True)
    else:
        assert ask(opened, statement, 1, typed=True).names == ("found",)


def test_an_answer_is_bounded_and_says_so(opened: Database) -> None:
    answer = ask(opened, "SELECT number FROM numbers(1000)", 3, typed=True)
    assert (answer.names, answer.rows, answer.is_cut) == (("number",), ((0,), (1,), (2,)), True)
    assert not ask(opened, "SELECT number FROM numbers(3)", 3, typed=True).is_cut


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        (QueryFormat.CSV, 'n,text,u\n,"a,b\x1b",18446744073709551615\n'),
        (QueryFormat.TSV, "n\ttext\tu\n\ta,b\x1b\t18446744073709551615\n"),
        (QueryFormat.TABLE, "n     text     u\nNULL  a,b\\x1b  18446744073709551615\n"),
    ],
)
def test_formats(opened: Database, form: QueryFormat, printed: str) -> None:
    out = io.StringIO()
    statement = r"SELECT NULL AS n, 'a,b\x1b' AS text, 18446744073709551615 AS u"
    run_query(Terminal(out, io.StringIO()), opened, statement, form, 10)
    assert out.getvalue() == printed


def test_json_keeps_types(opened: Database) -> None:
    out, err = io.StringIO(), io.StringIO()
    statement = "SELECT NULL AS n, number AS u, [1.5] AS a FROM numbers(2)"
    run_query(Terminal(out, err), opened, statement, QueryFormat.JSON, 1)
    assert json.loads(out.getvalue()) == {
        "columns": ["n", "u", "a"],
        "rows": [{"n": None, "u": 0, "a": [1.5]}],
        "cut": True,
    }
    assert err.getvalue() == "evalgate: only the first 1 row; there are more (--limit)\n"


def test_a_statement_comes_from_a_file(
    opened: Database, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("-- a file\nSELECT 7 AS n;\n"))
    assert run(["query", "-", "--format", "csv", "--dsn", dsn]) == 0
    assert capsys.readouterr().out == "n\n7\n"
