"""Statements made to be slow: nothing that reads them may need more than their length says."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from collector.extensions.clickhouse_http.answer_format import TAIL_CHARS, ending_format, has_answer
from collector.extensions.clickhouse_http.request import Statement
from exporters.clickhouse.fence import MAX_STATEMENT_CHARS, Fence, _Parser
from schema.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU_S = 4.0
"""Most of these need milliseconds; with the expressions they were made for, half a minute to longer than we live."""


class TooSlow(BaseException):
    """The processor time is used up."""


@contextmanager
def processor_time() -> Iterator[None]:
    """Bound the processor time, however busy the machine is; `re` looks for signals while it searches."""

    def end(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def statement(text: str) -> Statement:
    return Statement(text, "TabSeparated", {}, {}, None)


@pytest.mark.parametrize(
    "text",
    [
        "/**/" * 60 + "X",
        "/*" * 60_000 + "*/" * 60_000 + "X",
        "--\n" * 60_000 + "X",
        " (" * 60_000 + "X",
        "(-- /**/\n" * 20_000 + "X",
    ],
    ids=lambda text: text[:12],
)
def test_what_stands_before_the_first_word(text: str) -> None:
    with processor_time():
        assert statement(text).answer_format is None
        assert statement(text[:-1] + "SELECT 1").answer_format == "TabSeparated"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FORMAT a" + " " * 120_000 + "(",
        "SELECT 1" + " FORMAT a" * 30_000 + "(",
        "SELECT 1" + " FORMAT a SETTINGS a = b" * 10_000 + ",",
        "SELECT 1 FORMAT a SETTINGS a = b" + ", a = b" * 30_000 + " " * 100_000 + ",",
        "SELECT 1 FORMAT a SETTINGS a = b" + " " * 120_000 + ",",
        "SELECT 1 FORMAT a SETTINGS a " + " " * 120_000 + ",",
    ],
    ids=lambda text: text[:32],
)
def test_what_stands_at_the_end(text: str) -> None:
    with processor_time():
        assert statement(text).answer_format == "TabSeparated"
        assert statement(text).without_format(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "EXPLAIN a = 1" + " " * 200_000 + "X",
        "EXPLAIN" + (" a = 1" + " " * 30) * 40 + "X",
        "SHOW TABLES" + " " * 200_000 + "X",
        "SHOW TABLES LIMIT " + "1" * 200_000 + " X",
        "DESCRIBE TABLE " + "a" * 200_000 + " X",
        "-- \n" * 60_000 + "X",
        "SELECT 1" + ": " * 100_000,
        "SELECT " + "struct(" * 60 + "1" + ")" * 60,
        "SELECT " + "nested(" * 60 + "1" + ")" * 60,
        "SELECT " + ",".join(["struct(" * 7 + "1" + ")" * 7] * 1000),
        "SELECT Map(1)",
    ],
    ids=lambda text: text[:24],
)
def test_what_the_fence_reads(text: str) -> None:
    with processor_time(), pytest.raises(Refused):
        Fence("d", lambda _: "Identifier default.`/x`").check(text)


@pytest.mark.parametrize("kind", ["TableIdentifier", "Function", "Identifier"])
def test_names_in_what_the_engine_answers(kind: str) -> None:
    """A quoted name holds anything."""
    for name in (" (alias " * 30_000 + "(", "x" + " (alias y)" * 20_000 + "(", "x (children 1" * 20_000):
        with processor_time():
            Fence("d", lambda _, name=name: f" {kind} {name}").check("SELECT 1")  # type: ignore[misc]  # a default


def test_a_statement_that_is_too_long_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr("exporters.clickhouse.fence.LEADING_COMMENTS", looked)
    with pytest.raises(Refused, match="more than 262144 characters"):
        Fence("d", str).check(" " * MAX_STATEMENT_CHARS + "X")


def test_how_often_a_token_is_looked_at_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count, not a time: types nested 20 deep would be 2**20 steps."""
    steps = 0
    advance = _Parser._advance

    def count(parser: _Parser, times: int = 1) -> None:
        nonlocal steps
        steps += 1
        advance(parser, times)

    monkeypatch.setattr(_Parser, "_advance", count)
    with pytest.raises(Refused, match="nest fewer types"):
        Fence("d", str).check("SELECT " + "struct(" * 20 + "1" + ")" * 20)
    assert steps < 5000


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("SELECT 1", None),
        ("select 1 format JSON", "JSON"),
        ("SELECT 1 FORMAT JSON;", "JSON"),
        ("SELECT 1 FORMAT  JSON  SETTINGS a = 1, b = 'x' ;\n", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS a = 1 b", "JSON"),
        ("SELECT format FROM t", None),
        ("SELECT 'FORMAT JSON'", None),
        ("SELECT xFORMAT JSON", None),
        ("SELECT 1 FORMAT JSON SETTINGS a", None),
        ("x" * TAIL_CHARS + " FORMAT JSON", "JSON"),
        ("FORMAT JSON SETTINGS a = " + "x" * TAIL_CHARS, None),
        ("x" + ("FORMAT JSON SETTINGS a =").ljust(TAIL_CHARS, "x"), None),
    ],
)
def test_the_format_at_the_end_is_found(text: str, form: str | None) -> None:
    match = ending_format(text)
    assert (match and match[1]) == form


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("SELECT 1", True),
        ("\n((select 1))", True),
        ("/* a */ -- b\n WITH 1 AS x SELECT x", True),
        ("/* /* a */ b */ SHOW TABLES", True),
        ("/* SELECT 1", False),
        ("-- SELECT 1", False),
        ("SELECTED", False),
        ("CREATE TABLE x", False),
        ("KILL QUERY", True),
        ("", False),
    ],
)
def test_what_has_an_answer(text: str, *, has: bool) -> None:
    assert has_answer(text) is has
