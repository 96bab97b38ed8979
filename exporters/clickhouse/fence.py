"""Which SQL a reader without credentials may run: one statement that only reads, and only our tables.

`readonly` is no fence in the embedded engine: `file('/etc/passwd')`, `url(…)`, `INTO OUTFILE`, `KILL QUERY` and
`Python(variable)` all work under it. So a statement must pass twice, each time by allow-list:

1. as sqlglot reads it: exactly one SELECT (or UNION of them), its tables, table functions and settings known;
2. as ClickHouse itself reads it (`EXPLAIN AST`): the same tables and functions again, so that nothing can hide where
   two parsers differ. That second reading is a call to the engine, which would run every statement of a list: texts
   with a semicolon inside are therefore refused before.

SHOW, DESCRIBE, EXISTS and EXPLAIN have few shapes and are matched as such.

A stranger wrote the statement, so reading it takes no longer than its length says: its length is bounded first, what
expressions take they do not give back (possessive, `++`) where that could be tried in many ways, and sqlglot, which
tries again what is nested in some types, may look at each token a few times only.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import SqlglotError
from sqlglot.parsers.clickhouse import ClickHouseParser

from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_STATEMENT_CHARS = 256 << 10
MAX_STEPS = 1000
MAX_STEPS_PER_TOKEN = 8
"""How often sqlglot goes on to a token, or back to one: 1.5 times for each is the most that statements of ours need."""

TABLE_FUNCTIONS = frozenset(
    {"generaterandom", "generateseries", "generate_series", "null", "numbers", "numbers_mt", "values", "view"}
    | {"zeros", "zeros_mt"}
)
"""They make rows out of nothing, or out of a subquery that is itself checked."""
TENANT_VIEW = re.compile(r"tenant_[a-z_]+")
"""Our views with a parameter (migration 0016) look like table functions."""

SYSTEM_TABLES = frozenset(
    {
        "aggregate_function_combinators",
        "asynchronous_metrics",
        "build_options",
        "codecs",
        "collations",
        "columns",
        "contributors",
        "data_skipping_indices",
        "data_type_families",
        "databases",
        "events",
        "formats",
        "functions",
        "keywords",
        "licenses",
        "merges",
        "metrics",
        "mutations",
        "numbers",
        "numbers_mt",
        "one",
        "parts",
        "parts_columns",
        "settings",
        "table_engines",
        "table_functions",
        "tables",
        "time_zones",
        "zeros",
        "zeros_mt",
    }
)

DENIED_FUNCTION = re.compile(
    r"file|dict(get|has|isin).*|joinget.*|hascolumnintable|catboostevaluate|evalmlmethod|naivebayesclassifier"
    r"|sleep.*|logtrace|generateserialid|addressto.*|showcertificate|getclienthttpheader|getserversetting|getmacro"
    r"|filesystem.*|serveruuid|ai[a-z]+|ai_.*|.*external.*"
)
"""Ordinary functions that read files, other tables or the server's environment, wait, or call out; lower case."""

SETTINGS = frozenset(
    {
        "cast_keep_nullable",
        "cast_string_to_dynamic_use_inference",
        "count_distinct_implementation",
        "date_time_input_format",
        "date_time_output_format",
        "enable_http_compression",
        "extremes",
        "format_csv_delimiter",
        "group_by_use_nulls",
        "http_zlib_compression_level",
        "join_algorithm",
        "join_use_nulls",
        "limit",
        "max_block_size",
        "max_result_rows",
        "max_rows_to_read",
        "offset",
        "optimize_read_in_order",
        "prefer_column_name_to_alias",
        "result_overflow_mode",
        "session_timezone",
        "totals_mode",
        "transform_null_in",
        "union_default_mode",
        "use_skip_indexes",
    }
)
OUTPUT_SETTING = re.compile(r"output_format_(?!schema)(arrow|binary|csv|decimal|json|markdown|native|orc|parquet|pretty"
                            r"|sql_insert|tsv|values|write_statistics|xml)(_[a-z0-9_]+)?")  # fmt: skip
"""Settings of formats; `output_format_schema` would write a file."""

NAME = r"(?:[A-Za-z_]\w*|`[A-Za-z_]\w*`|\"[A-Za-z_]\w*\")"
QUALIFIED = rf"(?:{NAME}\.)?{NAME}"
TEXT = r"'[^'\\]*'"
FORMAT = r"(?:\s+FORMAT\s+\w+)?"
SHAPES = tuple(
    re.compile(shape + FORMAT, re.IGNORECASE)
    for shape in (
        rf"SHOW\s+(?:FULL\s+)?TABLES(?:\s+(?:FROM|IN)\s+(?P<a>{NAME}))?(?:\s+(?:NOT\s+)?I?LIKE\s+{TEXT})?(?:\s+LIMIT\s+\d+)?",
        rf"SHOW\s+DATABASES(?:\s+(?:NOT\s+)?I?LIKE\s+{TEXT})?(?:\s+LIMIT\s+\d+)?",
        rf"SHOW\s+CREATE\s+(?:TABLE\s+|VIEW\s+)?(?P<t>{QUALIFIED})",
        rf"SHOW\s+(?:EXTENDED\s+)?(?:FULL\s+)?COLUMNS\s+(?:FROM|IN)\s+(?P<t>{QUALIFIED})(?:\s+(?:NOT\s+)?I?LIKE\s+{TEXT})?",
        rf"DESC(?:RIBE)?\s+(?:TABLE\s+)?(?P<t>{QUALIFIED})",
        rf"EXISTS\s+(?:TABLE\s+|VIEW\s+)?(?P<t>{QUALIFIED})",
        rf"EXISTS\s+DATABASE\s+{NAME}",
    )
)
EXPLAIN = re.compile(
    r"EXPLAIN(?:\s++(?:AST|SYNTAX|PLAN|PIPELINE|ESTIMATE|QUERY\s++TREE)\b)?"
    r"(?:\s++[a-z_]++\s*+=\s*+\d++(?:\s*+,)?+)*+\s++(?=SELECT|WITH|\()",
    re.IGNORECASE,
)
SELECTS = re.compile(r"[\s(]*+(SELECT|WITH)\b", re.IGNORECASE)
LEADING_COMMENTS = re.compile(r"(?:\s*+--[^\n]*+\n)++\s*+")
"""Of one line each: where those end, all parsers agree."""
WORDS = re.compile(r"\b(OUTFILE|INFILE)\b|:\s*+Identifier\s*+\}", re.IGNORECASE)

OF_NOBODY = frozenset(
    {"aggregate_function_combinators", "columns", "data_type_families", "databases", "formats", "functions", "keywords"}
    | {"numbers", "numbers_mt", "one", "settings", "table_functions", "tables", "time_zones", "zeros", "zeros_mt"}
)
"""Of SYSTEM_TABLES those that a reader of one tenant may read: of `tables` and `columns` the sizes are of all."""
CONFINED_WORDS = re.compile(r"PREWHERE|\bEXPLAIN\b", re.IGNORECASE)
"""What would tell of rows that are not shown: conditions that are looked at before the tenant, what an index finds."""

AST_CHILDREN = re.compile(r" \(children \d++\)")
AST_ALIAS = " (alias "


@dataclass(frozen=True, slots=True)
class Fence:
    """What may be read: every table and view of `database`, and the harmless part of ClickHouse's own tables."""

    database: str
    explain: Callable[[str], str]
    """Return what the engine answers to `EXPLAIN AST` followed by the statement."""
    tables: frozenset[str] | None = None
    """For a reader of one tenant (`exporters.clickhouse.tenant_filter`): what may be read in `database`."""
    hidden: frozenset[str] = frozenset()
    """And what is there besides: no name that may be a table's is one of these."""

    def check(self, sql: str) -> str:
        """Return the statement to run: the text without comments before it and without a closing semicolon.

        Raises:
            Refused: FORBIDDEN, naming what is not allowed.
            Permanent: the engine does not understand the statement; its own words.

        """
        if len(sql) > MAX_STATEMENT_CHARS:
            raise _no(f"statements of more than {MAX_STATEMENT_CHARS} characters")
        statement = sql.strip().rstrip(";").strip()
        if comments := LEADING_COMMENTS.match(statement):
            statement = statement[comments.end() :]
        if ";" in statement or "\0" in statement:
            raise _no("several statements, or a semicolon in a text: bind the text, {name:String}, or write char(59)")
        if match := WORDS.search(statement):
            raise _no(repr(match[0]))
        if self.tables is not None and (match := CONFINED_WORDS.search(statement)):
            raise _no(f"the word {match[0]} with a key for one tenant")
        if any(self._shape(match) for shape in SHAPES if (match := shape.fullmatch(statement))):
            return statement
        selects = statement[match.end() :] if (match := EXPLAIN.match(statement)) else statement
        if not SELECTS.match(selects):
            raise _no("statements other than SELECT, WITH, SHOW, DESCRIBE, EXISTS and EXPLAIN of a SELECT")
        settings, own = self._check_reading(selects)
        self._check_engine_reading(self.explain(selects), settings, own)
        return statement

    def _shape(self, match: re.Match[str]) -> bool:
        groups = match.groupdict()
        if name := groups.get("t"):
            self._table(name.replace("`", "").replace('"', ""))
        if database := groups.get("a"):
            self._qualifier(database.strip('`"'))
        return True

    def _check_reading(self, sql: str) -> tuple[int, frozenset[str]]:
        """Check the statement as sqlglot reads it; return how many SETTINGS clauses it has, and names it defines."""
        tree = _parse(sql)
        own = {cte.alias for cte in tree.find_all(exp.CTE) if cte.alias.isidentifier()}
        for name in own & self.hidden:
            raise _no(f"the name {name[:80]!r} for a part of the statement: it is that of a table")
        for table in tree.find_all(exp.Table):
            if table.db or table.name not in own:
                self._source(table)
        for function in tree.find_all(exp.Anonymous):
            if not isinstance(function.parent, exp.Table):
                _function(str(function.this))
        clauses = 0
        for query in tree.find_all(exp.Query):
            if settings := query.args.get("settings"):
                clauses += 1
                check_settings(_setting_names(settings))
        return clauses, frozenset(own)

    def _source(self, table: exp.Table) -> None:
        if isinstance(table.this, exp.Identifier):
            self._table(f"{table.db}.{table.name}" if table.db else table.name)
        elif isinstance(table.this, exp.Anonymous):
            _table_function(str(table.this.this))
        else:
            _table_function(table.this.key)

    def _check_engine_reading(self, ast: str, settings: int, own: frozenset[str] = frozenset()) -> None:
        """Check the statement as ClickHouse reads it: one line per node, children indented."""
        before = ""
        for line in ast.splitlines():
            kind, name = _node(line)
            if kind == "TableIdentifier":
                if name not in own:
                    self._table(name)
            elif kind == "Function":
                if before == "TableExpression":
                    _table_function(name)
                else:
                    _function(name)
            elif kind == "Identifier":
                self._perhaps_table(name)
            elif kind == "Set" and not name.strip():
                settings -= 1
            before = kind
        if settings:
            raise _no("a SETTINGS clause in this place")

    def _perhaps_table(self, name: str) -> None:
        """Check an identifier: on the right of IN it may be a table. Only a qualified one can leave our database."""
        qualifier, dot, rest = name.partition(".")
        if dot and qualifier.lower() in ("default", "system", "information_schema") and not rest.isidentifier():
            raise _no(f"the name {name[:80]!r}")
        if dot and qualifier.lower() == "system":
            self._table(name)
        if (rest if dot and qualifier == self.database else name) in self.hidden:
            raise _no(f"the table {name[:80]!r} with a key for one tenant")

    def _table(self, name: str) -> None:
        qualifier, dot, table = name.rpartition(".")
        if dot:
            self._qualifier(qualifier)
        if qualifier == "system" and table not in (SYSTEM_TABLES if self.tables is None else OF_NOBODY):
            raise _no(f"the table system.{table[:80]}")
        # Unqualified names resolve in our own database, which holds nothing but tables of ours.
        if self.tables is not None and qualifier in ("", self.database) and table not in self.tables:
            raise _no(f"the table {table[:80]!r} with a key for one tenant")

    def _qualifier(self, database: str) -> None:
        if database not in (self.database, "system") and database.lower() != "information_schema":
            raise _no(f"the database {database[:80]!r} (this one is {self.database!r})")


def check_settings(names: Iterable[str]) -> None:
    """Refuse settings that could lift limits, reach files or change what a statement may do."""
    for name in names:
        if name not in SETTINGS and not OUTPUT_SETTING.fullmatch(name):
            raise _no(f"the setting {name[:80]!r}")


def _node(line: str) -> tuple[str, str]:
    """Return kind and name of a node of EXPLAIN AST.

    indent kind [" " name [" (alias " text ")"]] [" (children " number ")"]
    """
    kind, _, name = line.lstrip().partition(" ")
    children = name.rfind(" (children ")
    if children > 0 and AST_CHILDREN.fullmatch(name, children):
        name = name[:children]
    alias = name.find(AST_ALIAS, 1)
    if alias > 0 and name.endswith(")"):
        name = name[:alias]
    return kind, name


class _Parser(ClickHouseParser):
    """sqlglot's, with an end.

    Of `struct(struct(…` and `nested(nested(…` it reads what is within twice, first as a type: 40 of them take days.
    """

    steps_left: int

    def _advance(self, times: int = 1) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise _no("what takes too long to check: nest fewer types in one another")
        super()._advance(times)


def _parse(sql: str) -> exp.Query:
    # What sqlglot cannot read it would log and keep as an opaque command: that is a refusal here, not a log line.
    log = logging.getLogger("sqlglot")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        dialect = ClickHouse()
        tokens = dialect.tokenize(sql)
        parser = _Parser(dialect=dialect)
        parser.steps_left = MAX_STEPS + MAX_STEPS_PER_TOKEN * len(tokens)
        trees = parser.parse(tokens, sql)
    except Refused:
        raise
    except (SqlglotError, RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        # Some statements it meets with a bug of its own: `SELECT Map(1)` with an IndexError.
        first = str(e).splitlines()[0] if isinstance(e, SqlglotError) and str(e) else type(e).__name__
        raise _no(f"statements that cannot be checked ({first[:200]})") from None
    finally:
        log.setLevel(level)
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Query) or tree.find(exp.Command, exp.DML, exp.DDL):
        raise _no("statements other than one SELECT")
    return tree


def _setting_names(settings: list[exp.Expression]) -> list[str]:
    return [s.this.name if isinstance(s, exp.EQ) else s.sql("clickhouse") for s in settings]


def _table_function(name: str) -> None:
    if name.lower() not in TABLE_FUNCTIONS and not TENANT_VIEW.fullmatch(name):
        raise _no(f"the table function {name[:80]}()")


def _function(name: str) -> None:
    if DENIED_FUNCTION.fullmatch(name.lower()):
        raise _no(f"the function {name[:80]}()")


def _no(what: str) -> Refused:
    return Refused(
        Reason.FORBIDDEN,
        f"not allowed: {what}. One statement that reads this database, and reaches nothing outside it, is "
        "(docs/clickhouse.md)",
    )
