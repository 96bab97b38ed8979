"""Outputs that are JSON: valid or not, which fields, of which type, with which value, how large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evalgate.files import strict_json
from evalgate.generate.features.atom import Atom, cuts
from evalgate.terminal import one_line
from schema.evaluator import JsonFields, JsonSchema, ValidJson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evalgate.generate.examples import Example

DEEPEST = 3
"""Objects inside objects whose fields are looked at."""
MAX_VALUES = 8
"""Different texts of one field beyond which it is no closed set."""
TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
    (type(None), "null"),
)
Path = tuple[str, ...]
NO_JSON = object()


def atoms(examples: Sequence[Example], support: int, dropped: dict[str, int]) -> Iterator[Atom]:  # noqa: ARG001 - the seam
    """Yield validity, required fields, types, closed sets and bounds, where enough of the outputs are objects."""
    values = [_parsed(e.output.text) for e in examples]
    objects = [v for v in values if isinstance(v, dict)]
    if len(objects) < max(support, len(values) / 4):
        return
    yield Atom(ValidJson(), 0.9, "json", np.array([v is NO_JSON for v in values], dtype=bool), "is not JSON")
    fields: dict[Path, list[Any]] = {}
    for path in sorted({p for v in objects for p in _paths(v)}):
        fields[path] = [_at(v, path) for v in values]
    for path, found in fields.items():
        pointer = "".join("/" + p.replace("~", "~0").replace("/", "~1") for p in path)
        lacking = np.array([f is NO_JSON or f is None for f in found], dtype=bool)
        yield Atom(JsonFields((pointer,)), 1.0, "json", lacking, f"lacks {pointer}")
        yield from _types(path, pointer, found)
        yield from _values(path, pointer, found)
        yield from _bounds(path, pointer, found)
    yield from _no_others(values, support)


def _types(path: Path, pointer: str, found: Sequence[Any]) -> Iterator[Atom]:
    """Yield the types that occur, as what must be there."""
    names = [_type(f) for f in found]
    for name in sorted({n for n in names if n}):
        fits = [n == name or (name == "number" and n == "integer") for n in names]
        rule = JsonSchema(_schema(path, {"type": name}))
        yield Atom(rule, 1.15, "json", ~np.array(fits, dtype=bool), f"{pointer} is no {name}")


def _values(path: Path, pointer: str, found: Sequence[Any]) -> Iterator[Atom]:
    """Yield the values of closed sets, as what must and what must not be there."""
    closed = {f for f in found if isinstance(f, (str, bool))}
    if not 1 < len(closed) <= MAX_VALUES or any(len(str(v)) > 80 for v in closed):
        return
    for value in sorted(closed, key=str):
        same = np.array([f == value and type(f) is type(value) for f in found], dtype=bool)
        shown = one_line(f"{pointer} is {value!r}", 80)
        yield Atom(JsonSchema(_schema(path, {"const": value})), 1.25, "json", ~same, f"not: {shown}")
        forbidden = _schema(path, {"not": {"const": value}}, required=False)
        not_objects = np.array([f is NO_JSON_OUTPUT for f in found], dtype=bool)
        yield Atom(JsonSchema(forbidden), 1.25, "json", same | not_objects, shown)


def _bounds(path: Path, pointer: str, found: Sequence[Any]) -> Iterator[Atom]:
    numbers = [f if isinstance(f, (int, float)) and not isinstance(f, bool) else None for f in found]
    there = [float(n) for n in numbers if n is not None]
    if len(there) < len(found) / 2:
        return
    not_objects = np.array([f is NO_JSON_OUTPUT for f in found], dtype=bool)
    for limit in cuts(there, most=6):
        above = np.array([n is not None and n > limit for n in numbers], dtype=bool) | not_objects
        rule = JsonSchema(_schema(path, {"maximum": limit}, required=False))
        yield Atom(rule, 1.25, "json", above, f"{pointer} is more than {limit}")
        below = np.array([n is not None and n < limit + 1 for n in numbers], dtype=bool) | not_objects
        rule = JsonSchema(_schema(path, {"minimum": limit + 1}, required=False))
        yield Atom(rule, 1.25, "json", below, f"{pointer} is less than {limit + 1}")


def _no_others(values: Sequence[Any], support: int) -> Iterator[Atom]:
    """Yield: no fields at the top but those that are common."""
    counts: dict[str, int] = {}
    for value in values:
        for key in value if isinstance(value, dict) else ():
            counts[key] = counts.get(key, 0) + 1
    common = sorted(k for k, n in counts.items() if n >= max(support, len(values) / 4))
    if len(common) < len(counts):
        fires = np.array([not isinstance(v, dict) or not v.keys() <= set(common) for v in values], dtype=bool)
        schema = {"type": "object", "properties": {k: {} for k in common}, "additionalProperties": False}
        yield Atom(JsonSchema(schema), 1.3, "json", fires, f"has fields other than {', '.join(common)}")


NO_JSON_OUTPUT = object()
"""Stands for a field of an output that is no object at all."""


def _parsed(text: str) -> Any:
    try:
        return strict_json(text)
    except ValueError:
        return NO_JSON


def _paths(value: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    for key, inner in value.items():
        path = (*above, key)
        yield path
        if isinstance(inner, dict) and len(path) < DEEPEST:
            yield from _paths(inner, path)


def _at(value: Any, path: Path) -> Any:
    """Return the field; NO_JSON where an object lacks it, NO_JSON_OUTPUT where the output is no object."""
    if not isinstance(value, dict):
        return NO_JSON_OUTPUT
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return NO_JSON
        value = value[key]
    return value


def _type(value: Any) -> str | None:
    return next((name for kind, name in TYPES if type(value) is kind), None)


def _schema(path: Path, inner: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    """Return the schema that asks something of one field, and of what is around it that it be objects."""
    schema: dict[str, Any] = dict(inner)
    for depth, key in enumerate(reversed(path)):
        outer: dict[str, Any] = {"properties": {key: schema}}
        if required or depth == len(path) - 1:
            outer = {"type": "object", **outer}
        if required:
            outer["required"] = [key]
        schema = outer
    return schema
