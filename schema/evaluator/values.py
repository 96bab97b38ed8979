"""The kinds of value that stand in an evaluator file: how each is read, described to an editor and written.

A reader raises `ValueError` with words that follow the field's name: "must be a text, not a list".
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from schema.fields import did_you_mean, json_name
from schema.verdict import MAX_FAILURE_MODE_CHARS, failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

    from schema.evaluator.form import Place

Item = TypeVar("Item")

ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")
MAX_NUMBER = 1e15
"""Limits beyond are mistakes of typing."""
MAX_JSON_DEPTH = 64


def as_it_is(value: Any) -> Any:
    """Return the value itself."""
    return value


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value."""

    read: Callable[[Any, Place], Any]
    """Returns the value. What is wrong inside an object is told to the place; what is wrong here is raised."""
    schema: Mapping[str, Any]
    """JSON Schema."""
    write: Callable[[Any], Any] = as_it_is


def simple(read: Callable[[Any], Any], schema: Mapping[str, Any], write: Callable[[Any], Any] = as_it_is) -> Kind:
    """Return a kind whose values have nothing inside."""
    return Kind(lambda value, _: read(value), schema, write)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {yaml_name(value)}")  # noqa: TRY004 - a mistake in a file
    if not value.strip():
        raise ValueError("must be a text that says something")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(t, str) and t for t in items):
        raise ValueError("must be a text or a list of texts, none of them empty")
    return tuple(items)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {yaml_name(value)}")  # noqa: TRY004 - as above
    return value


def _whole(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {yaml_name(value)}")  # noqa: TRY004 - as above
    return value


def whole(low: int, high: int) -> Kind:
    """Return a whole number between two, both included."""

    def read(value: Any) -> int:
        number = _whole(value)
        if not low <= number <= high:
            said = f"{low} or more" if number < low else f"at most {high}"
            raise ValueError(f"must be {said}, not {number}")
        return number

    return simple(read, {"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float, *, above: bool = False) -> Kind:
    """Return a finite number between two, both included; with `above`, more than the lower."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"must be a number, not {yaml_name(value)}")
        if not low <= value <= high or (above and value == low):
            raise ValueError(f"must lie between {low:g} and {high:g}, not {value}")
        return float(value)

    edge = {"exclusiveMinimum": low} if above else {"minimum": low}
    return simple(read, {"type": "number", **edge, "maximum": high}, _shortest)


def _shortest(value: float) -> float:
    return int(value) if value == int(value) else value


def choice(kind: type[StrEnum]) -> Kind:
    """Return one of the names of an enumeration."""
    names = [str(k) for k in kind]

    def read(value: Any) -> StrEnum:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {value!r}.{did_you_mean(str(value), names)}")
        return kind(value)

    return simple(read, {"enum": names}, str)


def named(names: Mapping[str, Any]) -> Kind:
    """Return a key of a table."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"is not known: {value!r}.{did_you_mean(str(value), names)}")
        return value

    return simple(read, {"enum": sorted(names)})


def _id(value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise ValueError(f"must be letters, digits, '.', '_' and '-', beginning with a letter or digit, not {value!r}")
    return value


def _failure_mode(value: Any) -> str:
    try:
        return failure_mode_of(_text(value)) or ""
    except ValueError as e:
        raise ValueError(str(e) if str(e).startswith("must") else f"is not a name: {e}") from None


def _pattern(value: Any) -> str:
    text = _text(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # what will mean something else
            re.compile(text)
    except (re.error, OverflowError, RecursionError, FutureWarning) as e:
        raise ValueError(f"is not a regular expression: {e}: {text!r}") from None
    return text


def _patterns(value: Any) -> dict[str, str]:
    return {name: _pattern(v) for name, v in _object(value).items()}


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be an object, not {yaml_name(value)}")  # noqa: TRY004 - as above
    check_json(value)
    return value


def _filled_object(value: Any) -> dict[str, Any]:
    found = _object(value)
    if not found:
        raise ValueError("must be an object that says something, not {}")
    return found


def _pointers(value: Any) -> tuple[str, ...]:
    for pointer in _texts(value):
        if not re.fullmatch(r"(?:/(?:[^~/]|~[01])*)+", pointer):
            raise ValueError(f"must be JSON pointers such as /order/id, not {pointer!r}")
    return _texts(value)


def _file_name(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.py", text):
        raise ValueError(f"must name a .py file beside this one, without a folder, not {text!r}")
    return text


def check_json(value: Any, depth: int = 0) -> None:
    """Find what JSON cannot say, which YAML reads from an unquoted word.

    Raises:
        ValueError: in words for the author of the file.

    """
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"is nested more than {MAX_JSON_DEPTH} deep")
    match value:
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"has the key {key!r}, which is not a text; put it in quotes")  # noqa: TRY004 - as above
                check_json(item, depth + 1)
        case list():
            for item in value:
                check_json(item, depth + 1)
        case float() if not math.isfinite(value):
            raise ValueError(f"holds {value}, which is not JSON")
        case None | str() | bool() | int() | float():
            pass
        case _:
            raise ValueError(f"holds {value} ({type(value).__name__}), which is not JSON; put it in quotes")


def yaml_name(value: Any) -> str:
    """Return what the author of a file calls this value."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (dict, list, str, bool, int, float)):
        return json_name(value)
    return f"a {type(value).__name__}"


def one_or_list(items: tuple[str, ...]) -> str | list[str]:
    """Return how people write a list of texts: one alone stands without its list."""
    return items[0] if len(items) == 1 else list(items)


NON_EMPTY = {"type": "string", "pattern": "\\S"}
STRINGS = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
    ]
}
POINTER_SCHEMA = {"type": "string", "pattern": "^(?:/(?:[^~/]|~[01])*)+$"}

TEXT = simple(_text, NON_EMPTY)
TEXTS = simple(_texts, STRINGS, one_or_list)
BOOLEAN = simple(_boolean, {"type": "boolean"})
COUNT = whole(0, int(MAX_NUMBER))
SHARE = number(0, 1)
ID_NAME = simple(_id, {"type": "string", "pattern": f"^{ID.pattern}$"})
FAILURE_MODE = simple(_failure_mode, {**NON_EMPTY, "maxLength": 10 * MAX_FAILURE_MODE_CHARS})
PATTERN = simple(_pattern, NON_EMPTY)
PATTERNS = simple(_patterns, {"type": "object", "additionalProperties": NON_EMPTY}, dict)
OBJECT = simple(_object, {"type": "object"}, dict)
FILLED_OBJECT = simple(_filled_object, {"type": "object", "minProperties": 1}, dict)
POINTERS = simple(
    _pointers, {"anyOf": [POINTER_SCHEMA, {"type": "array", "minItems": 1, "items": POINTER_SCHEMA}]}, one_or_list
)
FILE_NAME = simple(_file_name, {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*\\.py$"})
