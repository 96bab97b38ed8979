"""I7: text that is not text, and text that is odd.

Injected: invalid, cut, overlong and surrogate UTF-8 in every text of a span, lone surrogates and raw bytes in JSON;
 NUL, overrides of direction, unassigned characters, emoji; emoji across the edge where content is cut.
Holds: what is not UTF-8 is 400 and never quoted; all else is kept as it came; no character is cut in two.
Figure: 10 malformed and 10 odd texts in 9 places of a request, over both validators, and every edge of four-byte text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from collector.decode import decode
from collector.decode.validate import validate
from collector.decode.validator import load_check
from collector.journal.record import Record
from collector.processors.normalise.limits import limit_text
from schema.errors import Reason, Refused
from tests.decode.requests import field, in_request

if TYPE_CHECKING:
    from collector.decode.validate import Check

SPAN = field(1, b"t" * 16) + field(2, b"s" * 8)
MALFORMED = (
    b"\xff",
    b"\xc3",
    b"secret\x80",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xb0\x80",
    b"\xf0\x9f\x98",
    b"\xf4\x90\x80\x80",
    b"a" * 100 + b"\xfe",
)
ODD = (
    "\x00",
    "a\x00b",
    "\u202eevil\u202c",
    "\u2066x\u2069",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "😀",
    "é\u0301",
    "\x1b[31m",
)


def places(text: bytes) -> dict[str, bytes]:
    """Return a request with this text in each place that has one."""
    attribute = field(1, text) + field(2, field(1, b"v"))
    value = field(1, b"k") + field(2, field(1, text))
    deep = field(1, b"k") + field(2, field(5, field(1, field(1, text))))
    return {
        "name": in_request(field(2, SPAN + field(5, text))),
        "trace state": in_request(field(2, SPAN + field(3, text))),
        "key": in_request(field(2, SPAN + field(9, attribute))),
        "value": in_request(field(2, SPAN + field(9, value))),
        "value in a value": in_request(field(2, SPAN + field(9, deep))),
        "event": in_request(field(2, SPAN + field(11, field(2, text)))),
        "status": in_request(field(2, SPAN + field(15, field(2, text)))),
        "resource": field(1, field(1, field(1, value)) + field(2, field(2, SPAN))),
        "scope": field(1, field(2, field(1, field(1, text)) + field(2, SPAN))),
    }


@pytest.fixture(scope="module", params=["kernel", "library"])
def check(request: pytest.FixtureRequest) -> Check | None:
    return load_check() if request.param == "kernel" else None


@pytest.mark.quick
@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_not_utf8_is_bad_data_wherever_it_stands(text: bytes, check: Check | None) -> None:
    for place, body in places(text).items():
        with pytest.raises(Refused) as caught:
            validate(body, "traces", encoding="protobuf", gzip=False, check=check)
        assert caught.value.reason is Reason.BAD_DATA, place
        assert "secret" not in str(caught.value)


@pytest.mark.quick
@pytest.mark.parametrize("text", ODD)
def test_odd_text_is_kept_as_it_came(text: str, check: Check | None) -> None:
    for place, body in places(text.encode()).items():
        valid = validate(body, "traces", encoding="protobuf", gzip=False, check=check)
        assert (valid.accepted, bytes(valid.body)) == (1, body), place
        batch = decode([Record(0, "default", "traces", "protobuf", gzip=False, received_unix_ns=1, body=body)])
        match place:
            case "name":
                assert batch.name.to_pylist() == [text]
            case "key":
                assert batch.attributes.of(0) == {text: "v"}
            case "value":
                assert batch.attributes.of(0) == {"k": text}
            case "value in a value":
                assert batch.attributes.of(0) == {"k": [text]}


@pytest.mark.quick
@pytest.mark.parametrize(
    "body", [b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"', b'"\n"']
)
def test_json_that_is_not_unicode_is_bad_data(body: bytes) -> None:
    whole = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":' + body + b"}]}]}]}"
    with pytest.raises(Refused) as caught:
        validate(whole, "traces", encoding="json", gzip=False)
    assert caught.value.reason is Reason.BAD_DATA


@pytest.mark.quick
@pytest.mark.parametrize("text", ODD)
def test_odd_text_of_json_is_kept_escaped_or_not(text: str) -> None:
    for ascii_only in (True, False):
        span = {"traceId": "aa" * 16, "spanId": "bb" * 8, "name": text}
        document = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        body = json.dumps(document, ensure_ascii=ascii_only).encode()
        assert validate(body, "traces", encoding="json", gzip=False).accepted == 1
        batch = decode([Record(0, "default", "traces", "json", gzip=False, received_unix_ns=1, body=body)])
        assert batch.name.to_pylist() == [text]


@pytest.mark.quick
def test_no_character_is_cut_in_two() -> None:
    text = "a😀" * 40
    whole = text.encode()
    for most in range(1, len(whole)):
        cut, was_cut = limit_text(text, most)
        kept = cut.partition("… [cut")[0]
        assert was_cut
        assert text.startswith(kept)
        assert most - 4 < len(kept.encode()) <= most
    assert limit_text(text, len(whole)) == (text, False)
