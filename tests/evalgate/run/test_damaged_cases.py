"""Cases that cannot be run are set aside and named; the others run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evalgate.dataset import reading
from evalgate.dataset.reading import MAX_CASE_DEPTH, read_leniently
from evalgate.run.targets.answer import plain, to_output
from schema.run import Output

if TYPE_CHECKING:
    from pathlib import Path

GOOD = b'{"case_id": "good", "input": "Hi"}'


@pytest.mark.parametrize(
    ("line", "case_id", "words"),
    [
        (b'{"case_id": "x", "input": "a', None, "Invalid control character"),
        (b'{"case_id": "x", "input": "a\x00b"}', None, "Invalid control character"),
        (b'{"case_id": "x", "input": "\xff"}', None, "it is not UTF-8: byte 27 is 0xff"),
        (b'{"case_id": "x"}', "x", "lacks 'input'"),
        (b'{"case_id": "x", "input": "a", "typo": 1}', "x", "unknown field 'typo'"),
        (b'{"case_id": "x", "input": "\\ud800"}', "x", "half a character (\\ud800)"),
        (b'{"case_id": "x", "input": NaN}', None, "NaN is not JSON"),
        (b'{"case_id": "good", "input": "again"}', "good", "stands in line 1 already"),
        (b'{"case_id": "x", "input": ' + b"[" * 100_000, None, "nested too deep"),
        (b'{"tags": ' + b"[" * MAX_CASE_DEPTH + b"]" * MAX_CASE_DEPTH + b"}", None, "65 deep"),
        (b"[]", None, "must be an object"),
    ],
)
def test_a_line_that_is_no_case_is_set_aside(tmp_path: Path, line: bytes, case_id: str | None, words: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(GOOD + b"\n\n" + line + b"\n" + GOOD.replace(b"good", b"last"))
    cases, aside = read_leniently(path)
    assert [c.case_id for c in cases] == ["good", "last"]
    (only,) = aside
    assert (only.line, only.case_id) == (3, case_id)
    assert words in only.reason


def test_a_case_beyond_the_limit_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CASE_BYTES", 100)
    monkeypatch.setattr(reading, "PIECE_BYTES", 5)
    path = tmp_path / "d.jsonl"
    path.write_bytes(GOOD + b"\n" + b'{"input": "' + b"x" * 100 + b'"}\n')
    path.write_bytes(path.read_bytes() + GOOD.replace(b"good", b"last"))
    cases, aside = read_leniently(path)
    assert [c.case_id for c in cases] == ["good", "last"]
    assert [(s.line, s.reason) for s in aside] == [(2, "it has 114 bytes; the limit of a case is 100")]


def test_whatever_a_target_hands_over_can_be_written() -> None:
    nested: list[object] = []
    nested.append(nested)
    odd = {"name": "t\ud800", "arguments": {1: float("nan"), "s": {1, 2}, "deep": nested, "big": 1 << 80}}
    output = to_output({"output": "half \ud83d", "tool_calls": [odd]})
    assert output.text == "half �"
    text = json.dumps(output.tool_calls, allow_nan=False, ensure_ascii=False)
    assert json.loads(text.encode())[0]["arguments"]["1"] == "nan"
    assert plain("whole 😀") == "whole 😀"


def test_what_an_answer_says_of_itself_is_taken_where_it_is_a_figure() -> None:
    said = {
        "output": "x",
        "finish_reason": "stop",
        "input_tokens": 7,
        "output_tokens": True,
        "cost_usd": "1",
        "model": 3,
    }
    assert to_output(said) == Output("x", finish_reason="stop", input_tokens=7)
    with pytest.raises(ValueError, match="the limit is"):
        to_output({"output": "x", "tool_calls": [{"name": "t"}] * 10_001})
