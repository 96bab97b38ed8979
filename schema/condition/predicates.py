"""What a condition is made of: each node as a mask over a batch, and as SQL over `settled_spans`.

Truth has three values in both, as SQL has it: a comparison with something unknown is unknown, AND and OR are Kleene's.
Patterns are one regular expression for both, which both give to RE2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.condition.operands import Kind, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from schema.batch import SpanBatch
    from schema.condition.operands import Operand

    Bind = Callable[[object, str], str]

Comparison = Literal["=", "!=", "<", "<=", ">", ">="]
COMPARISONS: Final[Mapping[Comparison, Callable[[pa.Array, pa.Scalar], pa.Array]]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
DIGITS: Final = 15
"""Before and after the point, of a number that an attribute's text may be read as: exact in both."""
DECIMAL_TEXT: Final = rf"^-?[0-9]{{1,{DIGITS}}}(?:\.[0-9]{{1,{DIGITS}}})?$"
DECIMAL: Final = pa.decimal128(38, DIGITS)

Value = str | int | float | bool


class Predicate(Protocol):
    """True, false or unknown of every span."""

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Return one value per span; null is unknown."""

    def sql(self, bind: Bind) -> str:
        """Return the same over `settled_spans`; values are bound."""


@dataclass(frozen=True, slots=True)
class Compare:
    """An operand and a value of its kind."""

    operand: Operand
    comparison: Comparison
    value: Value

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Compare the column."""
        compare, column = COMPARISONS[self.comparison], self.operand.read(batch)
        if self.operand.kind is Kind.TEXT:
            return of_words(column, lambda texts: compare(texts, pa.scalar(self.value, pa.string())))
        if self.operand.kind is Kind.FLAG:
            return compare(column, pa.scalar(self.value, pa.bool_()))
        kind = pa.int64() if isinstance(self.value, int) and self.operand.kind is Kind.WHOLE else pa.float64()
        return compare(column.cast(kind), pa.scalar(self.value, kind))

    def sql(self, bind: Bind) -> str:
        """Compare in the table."""
        kind = {Kind.TEXT: "String", Kind.FLAG: "Bool", Kind.NUMBER: "Float64"}.get(
            self.operand.kind, "Int64" if isinstance(self.value, int) else "Float64"
        )
        return f"{self.operand.sql(bind)} {self.comparison} {bind(self.value, kind)}"


@dataclass(frozen=True, slots=True)
class CompareNumber:
    """A text that may be read as a decimal number, and a number. Of any other text the answer is unknown."""

    operand: Operand
    comparison: Comparison
    value: Decimal

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Compare exactly, as decimals."""

        def compare(texts: pa.Array) -> pa.BooleanArray:
            reads = pc.match_substring_regex(texts, DECIMAL_TEXT)
            numbers = pc.if_else(reads, texts, pa.scalar(None, pa.string())).cast(DECIMAL)
            return COMPARISONS[self.comparison](numbers, pa.scalar(self.value, DECIMAL))

        return of_words(self.operand.read(batch), compare)

    def sql(self, bind: Bind) -> str:
        """Compare exactly, as decimals."""
        text = self.operand.sql(bind)
        number = f"toDecimal128OrNull(if(match({text}, {bind(DECIMAL_TEXT, 'String')}), {text}, NULL), {DIGITS})"
        return f"{number} {self.comparison} toDecimal128({bind(f'{self.value:f}', 'String')}, {DIGITS})"


@dataclass(frozen=True, slots=True)
class OneOf:
    """An operand among texts or whole numbers."""

    operand: Operand
    values: tuple[str, ...] | tuple[int, ...]

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Look the column up."""
        column = self.operand.read(batch)
        text = self.operand.kind is Kind.TEXT
        values = pa.array(self.values, pa.string() if text else pa.int64())

        def among(column: pa.Array) -> pa.BooleanArray:
            return pc.if_else(column.is_valid(), pc.is_in(column, value_set=values), pa.scalar(None, pa.bool_()))

        return of_words(column, among) if text else among(column.cast(pa.int64()))

    def sql(self, bind: Bind) -> str:
        """Look the column up; ClickHouse's IN calls NULL false, which NOT would make true."""
        kind = "String" if self.operand.kind is Kind.TEXT else "Int64"
        text = self.operand.sql(bind)
        return f"if(isNull({text}), NULL, has({bind(list(self.values), f'Array({kind})')}, assumeNotNull({text})))"


@dataclass(frozen=True, slots=True)
class Matches:
    """A text that a regular expression finds something in."""

    operand: Operand
    pattern: str

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Search the texts."""
        return of_words(self.operand.read(batch), lambda texts: pc.match_substring_regex(texts, self.pattern))

    def sql(self, bind: Bind) -> str:
        """Search the texts."""
        return f"match({self.operand.sql(bind)}, {bind(self.pattern, 'String')})"


@dataclass(frozen=True, slots=True)
class Unknown:
    """IS NULL: never unknown itself."""

    operand: Operand

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Ask the column."""
        return self.operand.read(batch).is_null()

    def sql(self, bind: Bind) -> str:
        """Ask the table."""
        return f"isNull({self.operand.sql(bind)})"


@dataclass(frozen=True, slots=True)
class Has:
    """A list with a text in it: never unknown, a list that nobody filled is empty."""

    operand: Operand
    value: str

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Ask the flat values, and the rows they are of."""
        column = self.operand.read(batch)
        found = np.zeros(len(column), np.bool_)
        if column.null_count != len(column):
            rows = pc.list_parent_indices(column).to_numpy()
            hits = pc.fill_null(pc.equal(plain(pc.list_flatten(column)), self.value), fill_value=False)
            found[rows[hits.to_numpy(zero_copy_only=False)]] = True
        return pa.array(found)

    def sql(self, bind: Bind) -> str:
        """Ask the table."""
        return f"has({self.operand.sql(bind)}, {bind(self.value, 'String')})"


@dataclass(frozen=True, slots=True)
class Flag:
    """A column of true and false by itself."""

    operand: Operand

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Return the column."""
        return self.operand.read(batch)

    def sql(self, bind: Bind) -> str:
        """Return the column."""
        return self.operand.sql(bind)


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; of unknown it is unknown."""

    of: Predicate

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Invert."""
        return pc.invert(self.of.holds(batch))

    def sql(self, bind: Bind) -> str:
        """Invert."""
        return f"NOT ({self.of.sql(bind)})"


@dataclass(frozen=True, slots=True)
class Both:
    """AND or OR of several."""

    joined: Literal["AND", "OR"]
    of: tuple[Predicate, ...]

    def holds(self, batch: SpanBatch) -> pa.BooleanArray:
        """Join from the left."""
        join = pc.and_kleene if self.joined == "AND" else pc.or_kleene
        result = self.of[0].holds(batch)
        for predicate in self.of[1:]:
            result = join(result, predicate.holds(batch))
        return result

    def sql(self, bind: Bind) -> str:
        """Join from the left."""
        return f" {self.joined} ".join(f"({p.sql(bind)})" for p in self.of)


def of_words(column: pa.Array, answer: Callable[[pa.Array], pa.BooleanArray]) -> pa.BooleanArray:
    """Return the answer for every text; where a column is numbers of words, each word is asked once."""
    if not pa.types.is_dictionary(column.type):
        return answer(plain(column))
    return answer(plain(column.dictionary)).take(column.indices)
