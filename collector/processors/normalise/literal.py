"""Text to the value it holds: JSON, JSON that was cut off, or a Python literal.

Instrumentations put JSON in strings, JSON in JSON, `repr()` of Python values, and cut all of them at attribute length
limits, sometimes inside an escape; LangSmith's send JSON as bytes, which stored attributes hold as base64. Reading
never raises: text that is none of these is itself.
"""

from __future__ import annotations

import ast
import binascii
import json
import re
from typing import Any

import numpy as np
import orjson

MAX_DEPTH = 64
"""Nesting that is still read; deeper text stays text. Ours: far above real payloads, far below recursion limits."""
MAX_LITERAL_CHARS = 100_000
"""Longest text tried as a Python literal: its parser is some 50 times slower than JSON's."""
MAX_LAYERS = 3
"""How often JSON is unpacked from a JSON string."""
MAX_CUTS = 16
"""How many places a cut-off JSON text is tried to be closed at, from its end backwards."""

PACKED = ("eyI", "eyJ", "W3", "Wy", "W1")
"""How base64 begins of an object with a key, and of an array of objects, texts or arrays."""
REPR = re.compile(r"[A-Z]\w*\(\w+=")
STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|"|[\[\]{},]', re.DOTALL)
CLOSER = {"[": "]", "{": "}"}
PARTIAL_ESCAPE = re.compile(r"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z")
"""An escape that was cut, and the first half of a surrogate pair before it."""
REMNANT = re.compile(
    r"""\s*,?\s*(?:"(?:[^"\\]|\\.)*+(?:"\s*:?|\\?)\s*)?  # a key, whole or cut
    (?:-?[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]*)?|t(?:ru?)?|f(?:al?|als)?|nu?l?)\s*\Z""",  # a cut number or word
    re.VERBOSE | re.DOTALL,
)
"""What may follow the last whole value of JSON that was cut off; text that merely begins with a bracket has more."""
OPENING, CLOSING = np.frombuffer(b"[{", np.uint8), np.frombuffer(b"]}", np.uint8)


def read_value(text: Any) -> Any:
    """Return the value that a string holds; anything that is no such string comes back as it is."""
    return read_marked(text)[0]


def read_marked(text: Any) -> tuple[Any, bool]:
    """As `read_value`, with True where the text was cut off and only its whole part is returned."""
    if isinstance(text, bytes) or (isinstance(text, str) and text.startswith(PACKED)):
        return _unpacked(text), False
    if not isinstance(text, str):
        return text, False
    value, truncated = _read_once(text)
    for _ in range(MAX_LAYERS):
        if not isinstance(value, str) or value is text or value[:1] not in '[{"':
            break
        value, truncated = _read_once(value)
    return value, truncated


def _unpacked(sent: str | bytes) -> Any:
    """Return the object or array whose JSON was sent as bytes, or stands in base64; anything else as it is."""
    try:
        body = sent if isinstance(sent, bytes) else binascii.a2b_base64(sent, strict_mode=True)
        text = body.decode("utf-8")
    except ValueError:
        return sent
    value = _read_once(text)[0] if text[:1] in ("{", "[") else None
    return value if isinstance(value, (dict, list)) else sent


def _read_once(text: Any) -> tuple[Any, bool]:
    if not isinstance(text, str):
        return text, False
    start = text.lstrip()[:1]
    if not start or start not in '[{"(' or _depth(text) > MAX_DEPTH:
        return text, False
    try:
        return orjson.loads(text), False
    except orjson.JSONDecodeError:
        pass
    try:
        return _encodable(json.loads(text)), False  # takes NaN and lone surrogates, which orjson refuses
    except (ValueError, RecursionError):
        pass
    if start == '"':
        return text, False
    literal = _python_literal(text)
    if literal is not None:
        return literal, False
    repaired = _close(text) if start != "(" else None
    return (text, False) if repaired is None else (repaired, True)


def read_json_object(text: Any) -> dict[str, Any]:
    """Return the object that a string holds or the dict that was sent; {} where it is something else."""
    value = read_value(text)
    return value if isinstance(value, dict) else {}


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    marks = np.frombuffer(STRING.sub("", text).encode("utf-8", "replace"), np.uint8)
    steps = np.isin(marks, OPENING).astype(np.int32) - np.isin(marks, CLOSING)
    return int(steps.cumsum().max(initial=0))


def _python_literal(text: str) -> Any:
    if len(text) > MAX_LITERAL_CHARS:
        return None
    try:
        return _plain(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def read_call(text: str) -> dict[str, Any]:
    """Return the keyword arguments of text that is the repr of an object: `Name(key=literal, ...)`; else {}."""
    if not REPR.match(text) or len(text) > MAX_LITERAL_CHARS or not text.endswith(")"):
        return {}
    try:
        body = ast.parse(text, mode="eval").body
        if not isinstance(body, ast.Call) or body.args:
            return {}
        return {k.arg: _plain(ast.literal_eval(k.value)) for k in body.keywords if k.arg}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return {}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, (bool, int, float, bytes)):
        return value
    return str(value)


def _encodable(value: Any) -> Any:
    """Replace lone surrogates, halves of an emoji cut in two, which no UTF-8 can carry."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _close(text: str) -> Any:
    """Close JSON that ends too early; None where it is not that."""
    open_brackets: list[str] = []
    cuts: list[tuple[int, str]] = []
    unfinished = None
    for token in TOKEN.finditer(text):
        mark = token[0]
        if mark in CLOSER:
            open_brackets.append(CLOSER[mark])
            cuts.append((token.end(), "".join(reversed(open_brackets))))
        elif mark in "]}":
            if not open_brackets or open_brackets.pop() != mark:
                return None
            cuts.append((token.end(), "".join(reversed(open_brackets))))
        elif mark == ",":
            cuts.append((token.start(), "".join(reversed(open_brackets))))
        elif mark == '"':
            unfinished = token.start()
            break
    if not open_brackets:
        return None
    closers = "".join(reversed(open_brackets))
    if unfinished is not None and (whole := _load(PARTIAL_ESCAPE.sub("", text) + '"' + closers)) is not None:
        return whole
    for end, brackets in [(len(text), closers), *reversed(cuts[-MAX_CUTS:])]:
        if (whole := _load(text[:end] + brackets)) is not None:
            return whole if whole and REMNANT.match(text, end) else None
    return None


def _load(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
