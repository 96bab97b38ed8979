"""What was typed outlives a connection that broke."""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING

import pytest

from evalgate.label.drafts import MOST, Drafts
from evalgate.label.feed import ListFeed
from evalgate.label.form import Form
from evalgate.label.state import State
from evalgate.label.walk import Walk
from evalgate.terminal import Terminal
from schema.verdict import Anchor, Severity, Verdict
from tests.evalgate.label.builders import MemoryRecords, Typed, trace_of

if TYPE_CHECKING:
    from pathlib import Path

A = "0a" * 16
WHOLE = Form(Verdict.BAD, "tone", Severity.HIGH, "rude é", "Sorry.", (Anchor(1, 0, 3, "Can"),))


def test_everything_that_was_typed_comes_back(tmp_path: Path) -> None:
    drafts = Drafts.of("me", "default", tmp_path / "label")
    drafts.write({A: WHOLE, "0b" * 16: Form()})
    assert drafts.read() == {A: WHOLE}
    assert Drafts.of("bob", "default", tmp_path / "label").read() == {}
    drafts.write({})
    assert list((tmp_path / "label").iterdir()) == []
    drafts.write({f"{n:032x}": WHOLE for n in range(MOST + 5)})
    assert len(drafts.read()) == MOST


@pytest.mark.parametrize("text", ["{nonsense", "[]", '{"a": 1}', '{"a": {"verdict": "odd"}}', '{"a": {"more": 1}}'])
def test_a_damaged_file_is_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert Drafts(tmp_path / "x.json").read() == {}


def test_a_place_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Drafts(tmp_path / "file/x.json").write({A: WHOLE})
    Drafts(tmp_path / "file/x.json").write({})


def test_a_sitting_that_broke_off_goes_on_with_what_was_typed(tmp_path: Path) -> None:
    records, drafts = MemoryRecords({A: trace_of(A)}), Drafts.of("me", "default", tmp_path)

    def sits(*keys: str) -> None:
        state, out = State(forms=drafts.read(), drafts=drafts), io.StringIO()
        Walk(records, Terminal(out, out), Typed(deque(keys)), "me", ListFeed((A,)), state).run()

    sits("b", "c", "a long comment")  # then the line breaks
    assert records.kept == []
    sits("enter")
    assert records.said[A] == ("bad", None, None, "a long comment")
    assert drafts.read() == {}
