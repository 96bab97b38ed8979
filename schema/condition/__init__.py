r"""Conditions on spans as people write them in a configuration: `span_kind = 'llm' AND duration_ms > 30000`.

The language is a small part of SQL, and nothing outside of it is let through (docs/failing.md has it for its users):

    AND  OR  NOT  ( )                      = != < <= > >=   of a column and a literal
    IN (…)  BETWEEN … AND …  IS NULL       LIKE  ILIKE      % and _ as in SQL, \ escapes
    has(list, 'x')  length(text)           span_attributes['key']  resource_attributes['key']

A condition means the same on a batch of spans on its way (`mask`) and on the rows that became of it (`sql`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, cast

from schema.arrays import truths
from schema.condition.operands import COLUMNS, LATER, MAPS, Attribute, Column, Kind, Length
from schema.condition.predicates import (
    DIGITS,
    Both,
    Compare,
    CompareNumber,
    Flag,
    Has,
    Matches,
    Not,
    OneOf,
    Unknown,
)
from schema.errors import EvalgateError
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from sqlglot import Token, exp

    from schema.batch import SpanBatch
    from schema.condition.operands import Operand
    from schema.condition.predicates import Comparison, Predicate, Value

MAX_CHARACTERS: Final = 4096
MAX_VALUES: Final = 1000
"""In one IN (…)."""
MAX_WILDCARDS: Final = 16
"""% in one pattern: with hundreds, a text takes tenths of a second (measured)."""
EXACT: Final = 2**53
"""Up to here a double holds every whole number."""
FLIPPED: Final = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NAMES: Final = {"EQ": "=", "NEQ": "!=", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}


class ConditionError(EvalgateError):
    """A condition that nobody can understand, or that cannot be answered."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(f"{message} (at character {offset + 1})")
        self.message = message
        self.offset = offset
        """Of the character at fault, from 0."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was understood."""

    text: str
    columns: frozenset[str]
    """The columns it reads; of an attribute, its map."""
    _root: Predicate = field(repr=False, compare=False)

    def mask(self, batch: SpanBatch) -> NDArray[np.bool_]:
        """Return for each span whether the condition holds; unknown is false."""
        return truths(self._root.holds(batch))

    def sql(self, prefix: str) -> tuple[str, dict[str, object]]:
        """Return an expression over `settled_spans` and its parameters, which are named `prefix_0` and so on."""
        bound: dict[str, object] = {}

        def bind(value: object, kind: str) -> str:
            name = f"{prefix}_{len(bound)}"
            bound[name] = value
            return f"{{{name}:{kind}}}"

        return f"ifNull({self._root.sql(bind)}, false)", bound


def parse_condition(text: str) -> Condition:
    """Understand a condition.

    Raises:
        ConditionError: it does not parse, names an unknown column, or compares what cannot be compared.

    """
    if len(text) > MAX_CHARACTERS:
        raise ConditionError(f"the condition has {len(text)} characters; at most {MAX_CHARACTERS}", MAX_CHARACTERS)
    if (broken := next((at for at, c in enumerate(text) if "\ud800" <= c <= "\udfff"), -1)) >= 0:
        raise ConditionError("half a character stands here, which no text can hold", broken)
    if (nul := text.find("\0")) >= 0:
        raise ConditionError("a NUL character stands here; take it away", nul)
    reader = _Reader()
    try:
        root = reader.predicate(_parse(text))
    except RecursionError:
        raise ConditionError("the condition is nested too deeply; take parentheses away") from None
    return Condition(text, frozenset(reader.columns), root)


def _parse(text: str) -> exp.Expression:
    try:
        from sqlglot import exp  # noqa: PLC0415 - 0.2 s, and only the collector has it
        from sqlglot.dialects import ClickHouse  # noqa: PLC0415
        from sqlglot.errors import ParseError, TokenError  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConditionError("conditions need the collector: pip install 'otel-evalgate[collector]'") from None
    try:
        if (comment := _comment(text, ClickHouse().tokenize(text))) >= 0:
            raise ConditionError("a condition has no comments; take it away", comment)
        found = ClickHouse().parse_into(exp.Condition, text)
    except ParseError as e:
        first = e.errors[0] if e.errors else {}
        said = str(first.get("description") or "this is not a condition").rstrip(".")
        said = "something is missing here" if "missing for" in said else said
        raise ConditionError(f"the condition does not parse: {said}", _offset(text, first)) from None
    except TokenError:
        raise ConditionError("the condition does not parse: a quote or comment does not end", len(text)) from None
    if len(found) != 1 or found[0] is None:
        raise ConditionError("write one condition, such as: span_kind = 'llm' AND duration_ms > 30000")
    return cast("exp.Expression", found[0])


def _comment(text: str, tokens: Sequence[Token]) -> int:
    """Return where the first comment begins, else -1: all that lies between tokens and is no white space."""
    begins = 0
    for token in tokens:
        if (between := text[begins : token.start].lstrip()) != "":
            return token.start - len(between)
        begins = token.end + 1
    behind = text[begins:].lstrip()
    return len(text) - len(behind) if behind else -1


def _offset(text: str, error: dict[str, Any]) -> int:
    """Return where the word at fault begins; the parser counts lines, and columns up to the word's end."""
    lines = text.splitlines(keepends=True)[: max(int(error.get("line") or 1) - 1, 0)]
    end = sum(map(len, lines)) + int(error.get("col") or 0)
    return max(0, min(end, len(text)) - max(len(error.get("highlight") or ""), 1))


class _Reader:
    """Turns a parsed condition into predicates, and refuses everything that it does not know."""

    def __init__(self) -> None:
        self.columns: set[str] = set()

    def predicate(self, node: exp.Expression) -> Predicate:
        """Read something that is true or false."""
        node = _bare(node)
        match type(node).__name__:
            case "And" | "Or" as joined:
                parts = tuple(self.predicate(part) for part in _chain(node))
                return Both("AND" if joined == "And" else "OR", parts)
            case "Not":
                self._only(node, "this")
                return Not(self.predicate(node.this))
            case "EQ" | "NEQ" | "LT" | "LTE" | "GT" | "GTE" as name:
                self._only(node, "this", "expression")
                return self._comparison(node.this, NAMES[name], node.expression)
            case "Between":
                self._only(node, "this", "low", "high")
                return self._between(node)
            case "In":
                self._only(node, "this", "expressions")
                return self._in(node)
            case "Is":
                self._only(node, "this", "expression")
                return self._is(node)
            case "Like" | "ILike":
                self._only(node, "this", "expression", "negate")
                return self._like(node)
            case "ArrayContains":
                self._only(node, "this", "expression")
                return self._has(node)
            case "Column" | "Boolean":
                return self._flag(node)
        raise self._refused(node)

    def _comparison(self, left: exp.Expression, sign: str, right: exp.Expression) -> Predicate:
        if _is_value(left) and not _is_value(right):
            left, right, sign = right, left, FLIPPED[sign]
        operand = self.operand(left)
        return self._compare(operand, sign, self._value(right), right)

    def _compare(self, operand: Operand, sign: Any, value: Value | Decimal, at: exp.Expression) -> Predicate:
        comparison: Comparison = sign
        if isinstance(operand, Attribute):
            if isinstance(value, bool):
                self._equality_only(comparison, at)
                return Compare(operand, comparison, "true" if value else "false")
            if isinstance(value, Decimal):
                return CompareNumber(operand, comparison, self._short(value, at))
            return Compare(operand, comparison, value)
        kind = operand.kind
        if kind is Kind.TEXT and isinstance(value, str):
            return Compare(operand, comparison, value)
        if kind in {Kind.WHOLE, Kind.NUMBER} and isinstance(value, Decimal):
            return Compare(operand, comparison, self._figure(value, whole=kind is Kind.WHOLE, at=at))
        if kind is Kind.FLAG and isinstance(value, bool):
            self._equality_only(comparison, at)
            return Compare(operand, comparison, value)
        if kind is Kind.TEXTS:
            raise ConditionError(f"{operand.name} is a list; ask has({operand.name}, 'x')", self._at(at))
        raise ConditionError(f"{operand.name} is {_article(kind)}, and this is not", self._at(at))

    def _equality_only(self, comparison: str, at: exp.Expression) -> None:
        if comparison not in {"=", "!="}:
            raise ConditionError("true and false compare with = and != only", self._at(at))

    def _figure(self, value: Decimal, *, whole: bool, at: exp.Expression) -> int | float:
        """Return a number as the column's own type where that is exact, else as a double."""
        if whole and value == value.to_integral_value():
            if not -(2**63) <= value < 2**63:
                raise ConditionError(f"{value} does not fit into 64 bits", self._at(at))
            return int(value)
        number = float(value)
        if not math.isfinite(number) or (whole and abs(number) > EXACT):
            raise ConditionError(f"{value} is too large to compare with", self._at(at))
        return number

    def _short(self, value: Decimal, at: exp.Expression) -> Decimal:
        if abs(value) >= 10**DIGITS or value != round(value, DIGITS):
            raise ConditionError(
                f"an attribute compares with numbers of at most {DIGITS} digits before and after the point",
                self._at(at),
            )
        return round(value, DIGITS)

    def _between(self, node: exp.Expression) -> Predicate:
        operand, low, high = self.operand(node.this), node.args["low"], node.args["high"]
        return Both(
            "AND",
            (
                self._compare(operand, ">=", self._value(low), low),
                self._compare(operand, "<=", self._value(high), high),
            ),
        )

    def _in(self, node: exp.Expression) -> Predicate:
        operand, nodes = self.operand(node.this), node.expressions
        if not 0 < len(nodes) <= MAX_VALUES:
            raise ConditionError(f"IN (…) takes 1 to {MAX_VALUES} values", self._at(node))
        parts = tuple(self._compare(operand, "=", self._value(n), n) for n in nodes)
        values = tuple(p.value for p in parts if isinstance(p, Compare))
        if len(values) == len(parts) and (operand.kind is Kind.TEXT or isinstance(operand, Attribute)):
            return OneOf(operand, tuple(str(v) for v in values))
        whole = tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool))
        return OneOf(operand, whole) if len(whole) == len(parts) else Both("OR", parts)

    def _is(self, node: exp.Expression) -> Predicate:
        if type(node.expression).__name__ != "Null":
            raise ConditionError("IS goes with NULL or NOT NULL; compare with =", self._at(node.expression))
        operand = self.operand(node.this)
        if operand.kind is Kind.TEXTS:
            raise ConditionError(f"a list is never NULL; ask length({operand.name}) = 0", self._at(node.this))
        return Unknown(operand)

    def _like(self, node: exp.Expression) -> Predicate:
        operand, pattern = self.operand(node.this), self._value(node.expression)
        if operand.kind is not Kind.TEXT or not isinstance(pattern, str):
            raise ConditionError("LIKE compares a text column with a text in quotes", self._at(node.expression))
        if pattern.count("%") > MAX_WILDCARDS:
            raise ConditionError(f"a pattern has at most {MAX_WILDCARDS} %", self._at(node.expression))
        found = Matches(operand, like_to_regex(pattern, ignore_case=type(node).__name__ == "ILike"))
        return Not(found) if node.args.get("negate") else found

    def _has(self, node: exp.Expression) -> Predicate:
        operand, value = self.operand(node.this), self._value(node.expression)
        if operand.kind is not Kind.TEXTS or not isinstance(value, str):
            raise ConditionError("has(…) takes a list column and a text in quotes", self._at(node))
        return Has(operand, value)

    def _flag(self, node: exp.Expression) -> Predicate:
        if type(node).__name__ == "Boolean":
            raise ConditionError("true and false say nothing by themselves; compare a column with them", self._at(node))
        operand = self.operand(node)
        if operand.kind is not Kind.FLAG:
            raise ConditionError(f"{operand.name} is {_article(operand.kind)}: compare it", self._at(node))
        return Flag(operand)

    def operand(self, node: exp.Expression) -> Operand:
        """Read a column, an attribute or a length."""
        node = _bare(node)
        match type(node).__name__:
            case "Column":
                self._only(node, "this")
                name = str(node.this.name)
                if name in LATER:
                    raise ConditionError(f"{name} is decided by conditions: none can ask for it", self._at(node))
                if name in MAPS:
                    raise ConditionError(f"name one attribute: {name}['key']", self._at(node))
                if name not in COLUMNS:
                    near = did_you_mean(name, [*COLUMNS, *MAPS])
                    raise ConditionError(f"there is no column {name!r}.{near}", self._at(node))
                self.columns.add(name)
                return Column(name)
            case "Bracket" if type(node.this).__name__ == "Column" and str(node.this.name) in MAPS:
                self._only(node, "this", "expressions")
                keys = [self._value(k) for k in node.expressions]
                if len(keys) != 1 or not isinstance(keys[0], str):
                    raise ConditionError(f"write {node.this.name}['key']", self._at(node))
                self.columns.add(str(node.this.name))
                return Attribute("span" if node.this.name == "span_attributes" else "resource", keys[0])
            case "Length":
                self._only(node, "this", "binary")
                of = self.operand(node.this)
                if of.kind not in {Kind.TEXT, Kind.TEXTS}:
                    raise ConditionError(f"length(…) takes a text or a list; {of.name} is neither", self._at(node))
                return Length(of)
        raise self._refused(node)

    def _value(self, node: exp.Expression) -> str | bool | Decimal:
        node = _bare(node)
        match type(node).__name__:
            case "Literal" if node.args["is_string"]:
                return str(node.this)
            case "Literal":
                return self._decimal(str(node.this), node)
            case "Neg" if type(node.this).__name__ == "Literal" and not node.this.args["is_string"]:
                return -self._decimal(str(node.this.this), node.this)
            case "Boolean":
                return bool(node.this)
            case "Null":
                raise ConditionError("nothing equals NULL; write IS NULL or IS NOT NULL", self._at(node))
            case "Column" | "Bracket" | "Length":
                raise ConditionError("compare a column with a literal: a text in quotes, or a number", self._at(node))
        raise self._refused(node)

    def _decimal(self, digits: str, node: exp.Expression) -> Decimal:
        try:
            return Decimal(digits)
        except InvalidOperation:
            raise ConditionError(f"{digits!r} is not a number", self._at(node)) from None

    def _only(self, node: exp.Expression, *known: str) -> None:
        """Refuse a node that says more than is understood here."""
        if any(value not in (None, False, []) and name not in known for name, value in node.args.items()):
            raise self._refused(node)

    def _refused(self, node: exp.Expression) -> ConditionError:
        said = node.sql(dialect="clickhouse")
        return ConditionError(
            f"a condition cannot hold {said[:60]!r}; it has AND, OR, NOT, comparisons with literals, IN, BETWEEN, "
            "IS NULL, LIKE, ILIKE, has(list, 'x') and length(text)",
            self._at(node),
        )

    def _at(self, node: exp.Expr) -> int:
        """Return where a node begins: the first of its words of which the parser tells, else where its parent does."""
        starts = [int(n.meta["start"]) for n in node.walk() if "start" in n.meta]
        return min(starts) if starts else self._at(node.parent) if node.parent is not None else 0


def like_to_regex(pattern: str, *, ignore_case: bool) -> str:
    r"""Return the regular expression of a LIKE pattern: `%` is anything, `_` one character, `\` escapes."""
    flags = "(?si)" if ignore_case else "(?s)"
    begins, ends = "^", "$"
    if pattern.startswith("%"):
        begins, pattern = "", pattern.lstrip("%")
    if pattern.endswith("%") and not _escaped(pattern):
        ends, pattern = "", pattern[:-1]
    return f"{flags}{begins}{''.join(_pieces(pattern))}{ends}"


def _escaped(pattern: str) -> bool:
    """Say whether the last character has an odd number of backslashes before it."""
    before = pattern[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _pieces(pattern: str) -> Iterator[str]:
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            yield ".*"
        elif character == "_":
            yield "."
        elif character == "\\":
            yield re.escape(next(characters, "\\"))
        else:
            yield re.escape(character)


def _bare(node: exp.Expression) -> exp.Expression:
    while type(node).__name__ == "Paren":
        node = node.this
    return node


def _chain(node: exp.Expression) -> list[exp.Expression]:
    """Return the parts of `a AND b AND c`, which the parser nests to the left."""
    parts: list[exp.Expression] = []
    kind = type(node)
    while type(node) is kind:
        parts.append(node.expression)
        node = node.this
    return [node, *reversed(parts)]


def _is_value(node: exp.Expression) -> bool:
    return type(_bare(node)).__name__ in {"Literal", "Neg", "Boolean", "Null"}


def _article(kind: str) -> str:
    return kind if kind.startswith("true") else f"a {kind}"
