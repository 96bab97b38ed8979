"""JSON as exporters write it, filled field by field, beside protobuf's own reading of it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.json_fields import Unusual, fill
from collector.decode.otlp_json import REQUESTS, by_library
from tests.decode.hostile import seeded
from tests.decode.requests import requests
from tests.decode.test_otlp_json import integers_as_numbers, with_hex_ids

if TYPE_CHECKING:
    from random import Random

    from schema.component import Signal

ODD: tuple[Any, ...] = (None, True, 0, -1, 2**31, 2**64, 2**63 - 1, 1.5, 1e300, "", "5", "-5", "+5", " 5", "0x5", "NaN")
ODD = (
    *ODD,
    "zz",
    "aB cd",
    "SPAN_KIND_CLIENT",
    [],
    {},
    [None],
    {"values": None},
    {"stringValue": 5},
    {"new": 1},
    "\u0663",
)


def members_of(document: Any, signal: Signal) -> list[Any]:
    resources, scopes, members = (
        ("resourceSpans", "scopeSpans", "spans") if signal == "traces" else ("resourceLogs", "scopeLogs", "logRecords")
    )
    return [m for r in document.get(resources, []) for s in r.get(scopes, []) for m in s.get(members, [])]


def expected(document: Any, signal: Signal) -> Any:
    """Return what the library makes of it, or None where it refuses."""
    document = copy.deepcopy(document)
    try:
        return by_library(document, members_of(document, signal), signal)
    except (ValueError, TypeError, AttributeError, KeyError, json_format.ParseError):
        return None


def filled(document: Any, signal: Signal) -> Any:
    message = REQUESTS[signal]()
    fill(message, document, signal)
    return message


def of(request: Any) -> Any:
    return with_hex_ids(json_format.MessageToDict(request, use_integers_for_enums=True), upper=False)


@given(request=requests("traces", nan=False) | requests("logs", nan=False), numbers=st.booleans())
def test_what_is_filled_is_what_the_library_reads(request: Any, *, numbers: bool) -> None:
    signal: Signal = "traces" if "resource_spans" in request.DESCRIPTOR.fields_by_name else "logs"
    document = integers_as_numbers(of(request)) if numbers else of(request)
    document = json.loads(json.dumps(document))
    try:
        got = filled(document, signal)
    except Unusual:
        text = json.dumps(document)
        assert any(word in text for word in ('"bytesValue"', '"Infinity"', '"-Infinity"', '"NaN"', "e+"))
    else:
        assert got.SerializeToString(deterministic=True) == expected(document, signal).SerializeToString(
            deterministic=True
        )


@given(request=requests("traces", nan=False) | requests("logs", nan=False), seed=st.integers(0, 2**32))
def test_what_is_filled_of_odd_documents_is_what_the_library_reads(request: Any, seed: int) -> None:
    signal: Signal = "traces" if "resource_spans" in request.DESCRIPTOR.fields_by_name else "logs"
    document = of(request)
    chance = seeded(seed)
    for _ in range(chance.randrange(1, 4)):
        spoil(document, chance)
    try:
        got = filled(document, signal)
    except Unusual:
        return
    wanted = expected(document, signal)
    assert wanted is not None
    assert got.SerializeToString(deterministic=True) == wanted.SerializeToString(deterministic=True)


def spoil(value: Any, chance: Random) -> None:
    """Put something odd in one place, whatever is there."""
    while isinstance(value, (dict, list)) and value:
        key: Any = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        if chance.random() < 0.25 or not isinstance(value[key], (dict, list)) or not value[key]:
            if isinstance(value, dict) and chance.random() < 0.2:
                value[chance.choice(["new", "trace_id", "values", "attributes", "stringValue"])] = value.pop(key)
            else:
                value[key] = copy.deepcopy(chance.choice(ODD))
            return
        value = value[key]


@pytest.mark.parametrize(
    "value",
    [{"bytesValue": "YQ=="}, {"stringValue": "a", "intValue": 5}, {"intValue": 2**63}, {"new": 1}, {"intValue": True}],
)
def test_what_is_written_in_another_way_is_left_to_the_library(value: Any) -> None:
    span = {"attributes": [{"key": "k", "value": value}]}
    with pytest.raises(Unusual):
        filled({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}, "traces")
