"""Checks of outputs that are JSON."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.checks.text import opening

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SCHEMA_DEPTH = 60
SCHEMA_NOTES = ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated")
SCHEMA_KEYWORDS = (
    *("type", "enum", "const", "properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    *("items", "minItems", "maxItems", "minLength", "maxLength", "pattern", "allOf", "anyOf", "oneOf", "not"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
)
SIZES = {"Properties": "fields", "Items": "items", "Length": "characters"}


def refuse_constant(word: str) -> Any:
    """Refuse what Python reads and JSON lacks."""
    raise ValueError(f"{word} is not JSON")


def read_json(text: str) -> Any:
    """Return the value of strict JSON."""
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def valid_json(text: str) -> tuple[bool, str]:
    """Say whether the text is JSON."""
    try:
        read_json(text)
    except ValueError as e:
        return False, f"the output is not JSON: {e}: {opening(text)}"
    return True, "the output is JSON"


def lookup(value: Any, pointer: str) -> Any:
    """Return what stands at a JSON pointer (RFC 6901), None if nothing does."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,8}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def json_fields(text: str, required: Any) -> tuple[bool, str]:
    """Say whether the text is JSON and has a value, not null, at each place."""
    try:
        value = read_json(text)
    except ValueError as e:
        return False, f"the output is not JSON: {e}: {opening(text)}"
    missing = [p for p in required if lookup(value, p) is None]
    if missing:
        return False, f"the output lacks {', '.join(missing)}: {opening(text)}"
    return True, f"the output has {', '.join(required)}"


def kind_of(value: Any) -> str:
    """Return the JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if float(value).is_integer() else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def same_json(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal: 1 is 1.0, and true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return type(left) not in (dict, list) and type(right) not in (dict, list) and bool(left == right)


def size_mistake(size: int, schema: Any, what: str, at: str) -> str | None:
    """Return what is wrong with a size; `what` is as in minItems and maxItems."""
    low, high, noun = f"min{what}", f"max{what}", SIZES[what]
    if low in schema and size < schema[low]:
        return f"{at} has {size} {noun}; at least {schema[low]} are asked for"
    if high in schema and size > schema[high]:
        return f"{at} has {size} {noun}; the limit is {schema[high]}"
    return None


def number_mistake(value: float, schema: Any, at: str) -> str | None:
    """Return what is wrong with a number."""
    if "minimum" in schema and value < schema["minimum"]:
        return f"{at} is {value}, less than {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        return f"{at} is {value}, more than {schema['maximum']}"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return f"{at} is {value}, not more than {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        return f"{at} is {value}, not less than {schema['exclusiveMaximum']}"
    if "multipleOf" in schema and math.fmod(value, schema["multipleOf"]):
        return f"{at} is {value}, not a multiple of {schema['multipleOf']}"
    return None


def object_mistake(value: Any, schema: Any, at: str, depth: int) -> str | None:
    """Return what is wrong with an object."""
    for name in schema.get("required", ()):
        if name not in value:
            return f"{at} lacks {name!r}"
    if said := size_mistake(len(value), schema, "Properties", at):
        return said
    known = schema.get("properties", {})
    for name, item in value.items():
        inner = known[name] if name in known else schema.get("additionalProperties", True)
        if inner is False:
            return f"{at} has the field {name!r}, which is not asked for"
        if said := schema_mistake(item, inner, f"{at}.{name}", depth + 1):
            return said
    return None


def list_mistake(value: Any, schema: Any, at: str, depth: int) -> str | None:
    """Return what is wrong with a list."""
    if said := size_mistake(len(value), schema, "Items", at):
        return said
    for number, item in enumerate(value):
        if said := schema_mistake(item, schema.get("items", True), f"{at}[{number}]", depth + 1):
            return said
    return None


def combined_mistake(value: Any, schema: Any, at: str, depth: int) -> str | None:
    """Return what is wrong by the schemas inside this one."""
    for inner in schema.get("allOf", ()):
        if said := schema_mistake(value, inner, at, depth + 1):
            return said
    for name in ("anyOf", "oneOf"):
        if name in schema:
            good = sum(schema_mistake(value, inner, at, depth + 1) is None for inner in schema[name])
            if good == 0 or (name == "oneOf" and good > 1):
                return f"{at} fits {good} of the schemas of {name}"
    if "not" in schema and schema_mistake(value, schema["not"], at, depth + 1) is None:
        return f"{at} fits what it must not"
    return None


def schema_mistake(value: Any, schema: Any, at: str = "$", depth: int = 0) -> str | None:
    """Return the first way in which a value does not fit a JSON Schema, None if it fits."""
    if isinstance(schema, bool):
        return None if schema else f"{at} is not asked for"
    if depth > MAX_SCHEMA_DEPTH:
        raise ValueError("the output is nested too deep for the schema")
    kind = kind_of(value)
    types = schema.get("type", kind)
    types = [types] if isinstance(types, str) else types
    if kind not in types and not (kind == "integer" and "number" in types):
        return f"{at} is of type {kind}, not {' or '.join(types)}"
    if "enum" in schema and not any(same_json(value, v) for v in schema["enum"]):
        return f"{at} is none of {json.dumps(schema['enum'])}"
    if "const" in schema and not same_json(value, schema["const"]):
        return f"{at} is not {json.dumps(schema['const'])}"
    said = None
    if kind == "object":
        said = object_mistake(value, schema, at, depth)
    elif kind == "array":
        said = list_mistake(value, schema, at, depth)
    elif kind == "string":
        said = size_mistake(len(value), schema, "Length", at)
        if not said and "pattern" in schema and not re.search(schema["pattern"], value):
            said = f"{at} does not match /{schema['pattern']}/"
    elif kind in ("integer", "number"):
        said = number_mistake(value, schema, at)
    return said or combined_mistake(value, schema, at, depth)


def json_schema(
    text: str, schema: Any, *, validate: Callable[[Any, Any], str | None] = schema_mistake
) -> tuple[bool, str]:
    """Say whether the text is JSON that the schema accepts."""
    try:
        value = read_json(text)
    except ValueError as e:
        return False, f"the output is not JSON: {e}: {opening(text)}"
    said = validate(value, schema)
    return (False, f"the output does not fit the schema: {said}") if said else (True, "the output fits the schema")
