"""The seven kinds of an OTLP `AnyValue`, and how one becomes a Python value.

Source: opentelemetry-proto `common/v1/common.proto`. The numbers are the field numbers of the oneof.
"""

from __future__ import annotations

import base64
import math
from enum import IntEnum
from typing import TYPE_CHECKING

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

if TYPE_CHECKING:
    from typing import Any


class ValueType(IntEnum):
    """Which field of the oneof is set; EMPTY is a value that was sent without one."""

    EMPTY = 0
    STRING = 1
    BOOL = 2
    INT = 3
    DOUBLE = 4
    ARRAY = 5
    KVLIST = 6
    BYTES = 7


def to_python(value: AnyValue) -> Any:
    """Return str, bool, int, float, bytes, list, dict or None; in a kvlist the last of equal keys wins."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [to_python(v) for v in value.array_value.values]
    if which == "kvlist_value":
        return {kv.key: to_python(kv.value) for kv in value.kvlist_value.values}
    return getattr(value, which)


def array_to_python(body: bytes) -> list[Any]:
    """Read the bytes of an `ArrayValue` message."""
    return [to_python(v) for v in ArrayValue.FromString(body).values]


def kvlist_to_python(body: bytes) -> dict[str, Any]:
    """Read the bytes of a `KeyValueList` message."""
    return {kv.key: to_python(kv.value) for kv in KeyValueList.FromString(body).values}


def to_text(value: Any) -> str:
    """Return the text of a value in a Map(String, String): strings as they are, everything else as JSON.

    NaN and infinities, which JSON lacks, become the words the protobuf JSON mapping uses; bytes become base64.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return dump_json(value)


def dump_json(value: Any) -> str:
    """Return strict JSON; what JSON cannot say is written as `to_text` writes it."""
    try:
        plain = orjson.dumps(value)
    except TypeError:  # a key that is no text, a lone surrogate, bytes, an integer of more than 64 bits
        plain = b"null"
    if b"null" not in plain:  # which NaN and infinities have become
        return plain.decode("utf-8")
    return orjson.dumps(_strict(value), option=orjson.OPT_NON_STR_KEYS).decode("utf-8")


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {_clean(str(k)): _strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(v) for v in value]
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        return to_text(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def _clean(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot carry."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
