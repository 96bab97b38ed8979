"""`evalgate query`: one reading statement, a bounded answer.

The statement is read token by token before it is sent: it must be one statement, begin with a reading word, and
neither name a format nor write a file. Where the engine is chdb, which has no users and reads whatever file its process
may, the statement must also pass the fence that guards the HTTP interface: SQL is pasted. A server has its grants.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from evalgate.database import confine, fence
from evalgate.errors import BadInput
from evalgate.terminal import clean, count_of, one_line
from schema.errors import Refused

if TYPE_CHECKING:
    from evalgate.database import Database
    from evalgate.terminal import Terminal

READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "("})
NULL = "ᴺᵁᴸᴸ"
"""How ClickHouse writes NULL where every value is text."""
CELL_CHARS = 200


class QueryFormat(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns and at most `limit` rows."""

    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    is_cut: bool
    """Whether the database had more rows."""


def run_query(
    terminal: Terminal, database: Database, statement: str, form: QueryFormat, limit: int, *, tenant: str | None = None
) -> None:
    """Send the statement and print the answer; that rows are missing is said on stderr."""
    answer = ask(database, statement, limit, typed=form is QueryFormat.JSON, tenant=tenant)
    match form:
        case QueryFormat.JSON:
            rows = [dict(zip(answer.names, row, strict=True)) for row in answer.rows]
            terminal.emit({"columns": answer.names, "rows": rows, "cut": answer.is_cut})
        case QueryFormat.TABLE:
            cells = [["NULL" if v == NULL else one_line(str(v), CELL_CHARS) for v in row] for row in answer.rows]
            terminal.table(answer.names, cells, verbatim=True)
        case _:
            _print_separated(terminal, answer, "," if form is QueryFormat.CSV else "\t")
    if answer.is_cut:
        terminal.note(f"evalgate: only the first {count_of(limit, 'row')}; there are more (--limit)")


def ask(database: Database, statement: str, limit: int, *, typed: bool, tenant: str | None = None) -> Answer:
    """Return the answer; `typed` values are JSON values, others the texts ClickHouse writes.

    With `tenant`, of the rows of that tenant alone.

    Raises:
        BadInput: it is not one reading statement, or reaches outside the database.

    """
    text = reading_statement(statement)
    confined = None if tenant is None else confine(database, tenant)
    if guard := fence(database, confined):
        try:
            text = guard.check(text)
        except Refused as e:
            raise BadInput(str(e)) from None
    body = database.raw(
        text,
        settings={
            **({} if confined is None else confined.settings),
            "limit": limit + 1,
            "output_format_json_quote_64bit_integers": 0,
        },
        form="JSONCompact" if typed else "JSONCompactStrings",
    )
    document = json.loads(body)
    names = tuple(str(c["name"]) for c in document["meta"])
    rows = tuple(tuple(row) for row in document["data"][:limit])
    return Answer(names, rows, is_cut=len(document["data"]) > limit)


def reading_statement(text: str) -> str:
    """Return the one reading statement in a text, without its semicolon.

    Raises:
        BadInput: it is none, or more than one.

    """
    from sqlglot import TokenType, tokenize  # noqa: PLC0415 - comes with the [collector] extra
    from sqlglot.errors import TokenError  # noqa: PLC0415

    try:
        tokens = tokenize(text, dialect="clickhouse")
    except TokenError as e:
        raise BadInput(f"this is not SQL: {one_line(str(e), 200)}") from None
    ends = [t for t in tokens if t.token_type is TokenType.SEMICOLON]
    if ends and tokens[-1] is not ends[0]:
        raise BadInput("one statement at a time, please; there is more after the semicolon")
    if not tokens or tokens[0] in ends:
        raise BadInput("there is no statement. Try: evalgate query 'SHOW TABLES'")
    first = tokens[0].text.upper()
    if first not in READING:
        raise BadInput(f"evalgate query only reads; {first} is not SELECT, WITH, SHOW, DESCRIBE, EXPLAIN or EXISTS")
    words = [t.text.upper() for t in tokens if t.token_type is not TokenType.STRING]
    if any(pair == ("INTO", "OUTFILE") for pair in pairwise(words)):
        raise BadInput("evalgate query does not write files; redirect its output: --format csv > FILE")
    if words[-2 - len(ends) : -1 - len(ends)] == ["FORMAT"]:
        raise BadInput("leave out FORMAT; say how to print with --format table, json, csv or tsv")
    return text[: ends[0].start] if ends else text


def _print_separated(terminal: Terminal, answer: Answer, separator: str) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerow(answer.names)
    writer.writerows(["" if v == NULL else v for v in row] for row in answer.rows)
    text = buffer.getvalue()
    terminal.out.write(clean(text) if terminal.out.isatty() else text)
