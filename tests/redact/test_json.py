"""JSON stays JSON when secrets in it are masked, however it is escaped, and none is left in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.processors.redact.detectors import DETECTORS
from collector.processors.redact.mask import masked
from collector.processors.redact.search import Judge, Search
from tests.redact.oracle import SECRETS, in_context
from tests.redact.test_search import JUNK, texts_of

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH: Final = Search(DETECTORS)


def slashes(text: str) -> str:
    """Escape "/" as some writers of JSON do."""
    return text.replace("/", "\\/")


def nested(times: int, escape: Callable[[str], str]) -> Callable[[Any], str]:
    """Return what writes JSON within strings of JSON."""

    def write(what: Any) -> str:
        for _ in range(times):
            what = {"inner": escape(json.dumps(what))}
        return escape(json.dumps(what))

    return write


STYLES: Final[dict[str, Callable[[Any], str]]] = {
    "plain": json.dumps,
    "dense": lambda what: json.dumps(what, separators=(",", ":"), ensure_ascii=False),
    "slashes escaped": lambda what: slashes(json.dumps(what)),
    "indented": lambda what: json.dumps(what, indent=2),
    "new lines by number": lambda what: json.dumps(what).replace("\\n", "\\u000a"),
    "within JSON": nested(1, str),
    "within JSON within JSON": nested(2, str),
    "within JSON, slashes escaped": nested(1, slashes),
}
SIGNS: Final = ("", " ", "\n", "\t", "\r\n", '"', "\\", "/", "é", "'")


def redact(text: str, *, compiled: bool) -> str:
    """Return a text as it is masked."""
    data = text.encode("utf-8", "surrogatepass")
    judge = Judge(data, lambda _: False)
    (SEARCH.by_kernel if compiled else SEARCH.plainly)(texts_of([data])[1], judge)
    return masked(data, judge.spans)[0].decode("utf-8", "surrogatepass")


def opened(text: str) -> Any:
    """Return what JSON says, and the JSON in it."""
    what = json.loads(text)
    return opened(what["inner"]) if isinstance(what, dict) and "inner" in what else what


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("name", "secret"), SECRETS)
def test_no_secret_is_left_and_the_rest_is_whole(style: str, name: str, secret: str) -> None:
    parts = (secret,) if name == "card" else (secret[:14], secret[-14:])
    for before in (" ", "\n", "\t", '"', "("):
        around = {"a": ["x/y", {"k": f"before{before}{in_context(name, secret)} after\n"}], "n": 1}
        text = STYLES[style](around)
        for compiled in (True, False):
            after = opened(redact(text, compiled=compiled))
            assert after["n"] == 1
            assert after["a"][0] == "x/y"
            assert after["a"][1]["k"].startswith("before"), after
            kept = after["a"][1]["k"]
            assert not [p for p in parts if p in kept], (text, kept)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(STYLES)), st.sampled_from(SECRETS), st.sampled_from(SIGNS), st.sampled_from(SIGNS), JUNK)
@example("plain", ("assigned", "VGhpc0lzQVNlY3JldFRva2Vu1234"), "token:\n", "", "")
@example("plain", ("assigned", "VGhpc0lzQVNlY3JldFRva2Vu1234"), "password=\t", "", "")
@example("plain", ("npm", "npm_0123456789abcdefghijABCDEFGHIJ012345"), "\\", "", "")
@example("plain", ("npm", "pm_0123456789abcdefghijABCDEFGHIJ0123456789"), "\n", "", "")
def test_masked_json_parses(style: str, kind: tuple[str, str], before: str, behind: str, junk: str) -> None:
    text = STYLES[style]({"k": [junk, junk + before + in_context(*kind) + behind + junk], "n": 1})
    for compiled in (True, False):
        after = opened(redact(text, compiled=compiled))
        assert after["n"] == 1
        assert len(after["k"]) == 2


@pytest.mark.parametrize(
    "text", ['{"token": 12345678901234567890}', '{"card": 4111111111111111, "n": 1}', "[4111111111111111]"]
)
def test_numbers_stay_numbers(text: str) -> None:
    for compiled in (True, False):
        once = redact(text, compiled=compiled)
        assert json.loads(once) != json.loads(text)
        assert redact(once, compiled=compiled) == once


@pytest.mark.parametrize("compiled", [True, False])
def test_the_key_of_a_connection_string_is_masked(*, compiled: bool) -> None:
    key = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6+/Q=="
    around = "AccountName=a;AccountKey={};EndpointSuffix=b"
    masked_key = "[REDACTED:assigned]".ljust(len(key), "*")
    assert redact(around.format(key), compiled=compiled) == around.format(masked_key)
