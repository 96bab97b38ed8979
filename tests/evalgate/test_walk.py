"""Labelling by keyboard: single keys, everything saved at once, undo, resume."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run
from evalgate.errors import BadInput
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.review.commands import nothing_to_label
from evalgate.review.labels import unlabelled
from evalgate.review.walk import Tally, Walk
from evalgate.select.traces import load_trace
from evalgate.terminal import Terminal
from tests.evalgate.traffic import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from tests.evalgate.traffic import Traffic

ROOT = Path(__file__).parents[2]
A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)


@dataclass
class Typed:
    """A reviewer who types what the test says; a line answers each prompt."""

    answers: deque[str]
    edited: str = ""
    offered: list[str] = field(default_factory=list)

    def key(self) -> str:
        if not self.answers:
            raise EOFError
        return self.answers.popleft()

    def line(self, prompt: str) -> str:  # noqa: ARG002 - the seam
        return self.key()

    def edit(self, text: str) -> str:
        self.offered.append(text)
        if self.edited == "fail":
            raise subprocess.CalledProcessError(1, "vi")
        return self.edited


def walk(database: TenantDatabase, *answers: str, edited: str = "") -> tuple[Tally, str, Typed]:
    """Walk what is unlabelled with these keys and lines."""
    keys, out = Typed(deque(answers), edited), io.StringIO()
    tally = Walk(database, Terminal(out, out), keys, "me").run(unlabelled(database))
    return tally, out.getvalue(), keys


@pytest.fixture
def three(traffic: Traffic) -> TenantDatabase:
    """Three failing traces; the walk begins with C, the latest."""
    for trace_id in (A, B, C):
        traffic.refund(trace_id)
    return traffic.database


def labels(database: TenantDatabase) -> dict[str, tuple[str, str, str | None, str]]:
    """Return verdict, failure mode, corrected output and comment of each labelled trace."""
    found = {}
    for trace_id in (A, B, C):
        for x in load_trace(database, trace_id).labels:
            found[trace_id] = (x["verdict"], x["failure_mode"], x["corrected_output"], x["comment"])
    return found


def test_three_verdicts(three: TenantDatabase) -> None:
    tally, shown, _ = walk(three, "b", "policy", "You have 30 days.", "g", "p", "1", "")
    assert (tally.labelled, tally.skipped, tally.undone) == (3, 0, 0)
    assert labels(three) == {
        C: ("bad", "policy", "You have 30 days.", ""),
        B: ("good", "", None, ""),
        A: ("partial", "policy", None, ""),
    }
    assert {r.status for r in list_cases(three)} == {CaseStatus.QUARANTINED}
    for words in ("1 of 3", "Can I return my shoes?", "why         tool_error", "  1  policy", "is quarantined"):
        assert words in shown


def test_stopping_keeps_what_was_said_and_the_next_walk_goes_on(three: TenantDatabase) -> None:
    walk(three, "g", "q")
    assert unlabelled(three) == [B, A]
    tally, shown, _ = walk(three, "g")  # then the input ends
    assert tally.labelled == 1
    assert unlabelled(three) == [A]
    assert "1 of 2" in shown


def test_skipped_traces_come_again_in_the_next_walk(three: TenantDatabase) -> None:
    tally, _, _ = walk(three, "s", "g", "q")
    assert tally.skipped == 1
    assert unlabelled(three) == [C, A]


def test_undo_goes_back_to_that_trace(three: TenantDatabase) -> None:
    tally, _, _ = walk(three, "g", "s", "u", "b", "tone", "", "q")
    assert tally.undone == 1
    assert labels(three) == {C: ("bad", "tone", None, "")}


def test_undo_with_nothing_to_undo_says_so(three: TenantDatabase) -> None:
    _, shown, _ = walk(three, "u", "q")
    assert "nothing to undo in this sitting" in shown


def test_a_comment_belongs_to_the_trace_on_screen(three: TenantDatabase) -> None:
    walk(three, "c", "  odd  ", "g", "g", "q")
    assert labels(three) == {C: ("good", "", None, "odd"), B: ("good", "", None, "")}


def test_other_keys_say_which_there_are(three: TenantDatabase) -> None:
    _, shown, _ = walk(three, "x", "\x1b", "?", "q")
    assert shown.count("one of g b p c o s u q") == 3
    assert "\x1b" not in shown


def test_a_wrong_number_or_name_is_asked_again(three: TenantDatabase) -> None:
    walk(three, "b", "7", "a\x07b", "m" * 200, "tone", "", "q")
    assert labels(three) == {C: ("bad", "tone", None, "")}


def test_the_editor_starts_with_the_answer(three: TenantDatabase) -> None:
    _, _, keys = walk(three, "b", "", "e", "q", edited="Better.\n")
    assert keys.offered == ["You have 90 days."]
    assert labels(three) == {C: ("bad", "", "Better.", "")}


def test_an_editor_that_fails_says_what_else_to_do(three: TenantDatabase) -> None:
    with pytest.raises(BadInput, match="set EDITOR, or use label --from"):
        walk(three, "b", "", "e", edited="fail")
    assert labels(three) == {}


def test_open_shows_everything(three: TenantDatabase) -> None:
    _, shown, _ = walk(three, "o", "q")
    assert "spans (3)" in shown


class Screen:
    """The far end of a pseudo-terminal: what was shown, and a way to type once something is."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._shown = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._handle, 4096)
            except OSError:  # the other end is closed
                piece = b""
            with self._changed:
                self._shown += piece.decode("utf-8", "replace")
                self._changed.notify_all()
            if not piece:
                return

    def type(self, text: str, *, after: str) -> None:
        """Type once `after` was shown since the last typing."""
        self.wait_for(after)
        os.write(self._handle, text.encode())

    def wait_for(self, words: str, timeout_s: float = 60) -> None:
        """Wait until the words are shown, and forget everything up to them."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while words not in self._shown:
                left = deadline - time.monotonic()
                assert left > 0, f"{words!r} never came; shown: {self._shown[-2000:]}"
                self._changed.wait(left)
            self._shown = self._shown.split(words, 1)[1]


@pytest.fixture
def terminal_pair() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    yield master, slave
    for handle in (master, slave):
        with contextlib.suppress(OSError):
            os.close(handle)


FILL = """
import sys
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.evalgate.traffic import Traffic

with connect(sys.argv[1], create_database=True) as db:
    migrate(db)
    traffic = Traffic(db)
    for trace_id in sys.argv[2:5]:
        traffic.refund(trace_id)
    traffic.refund(sys.argv[5], failing=False)
"""
UNFLAGGED = "0d" * 16


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the DSN of a database that this process has not open: three failing traces and one that is not flagged."""
    if request.param == "embedded":
        dsn = f"chdb://{tmp_path}/db"
    else:
        dsn = f"{request.getfixturevalue('clickhouse_server')}/t_{uuid.uuid4().hex}"
    subprocess.run([sys.executable, "-c", FILL, dsn, A, B, C, UNFLAGGED], cwd=ROOT, check=True, timeout=60)
    return dsn


def evalgate(dsn: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "evalgate.cli", *arguments, "--dsn", dsn]


def test_the_real_command_on_a_real_terminal(elsewhere: str, terminal_pair: tuple[int, int]) -> None:
    master, slave = terminal_pair
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    screen = Screen(master)

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = evalgate(elsewhere, "label", *arguments, "--annotator", "me")
        return subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment)

    process = start()
    screen.type("b", after="[q]uit  > ")
    screen.type("tone\n", after="Enter: none): ")
    screen.type("Better é.\n", after="e: editor): ")
    screen.type("g", after="[q]uit  > ")
    screen.type("u", after="[q]uit  > ")
    screen.type("p", after="[q]uit  > ")
    screen.type("1\n", after="Enter: none): ")
    screen.type("\n", after="e: editor): ")
    screen.type("q", after="[q]uit  > ")
    screen.wait_for("2 labelled, 0 skipped, 1 to go")
    assert process.wait(30) == 0

    process = start("0d0d", C[:8], UNFLAGGED)
    screen.wait_for("1 of 2")
    screen.type("g", after="[q]uit  > ")
    screen.type("q", after="[q]uit  > ")
    screen.wait_for("1 labelled, 0 skipped, 1 to go")
    assert process.wait(30) == 0

    listed = subprocess.run(evalgate(elsewhere, "cases", "list", "--json"), cwd=ROOT, capture_output=True, check=True)
    cases = {c["provenance"]["trace_id"]: c for c in json.loads(listed.stdout)}
    assert {t: (c["verdict"], c["failure_mode"], c["expected"]["output"]) for t, c in cases.items()} == {
        C: ("bad", "tone", "Better é."),
        B: ("partial", "tone", None),
        UNFLAGGED: ("good", None, None),
    }


def test_named_traces_are_known_before_a_person_begins(
    traffic: Traffic, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run(["label", "ffff", "--dsn", dsn]) == 2
    assert "no trace begins with ffff" in capsys.readouterr().err


@pytest.mark.parametrize("others", [["--from", "x"], ["--undo", "1"]])
def test_named_traces_exclude_the_other_ways(others: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "ab", *others]) == 2
    assert f"TRACE and {others[0]} exclude each other" in capsys.readouterr().err


def test_nothing_to_label_says_why_and_what_to_do(traffic: Traffic) -> None:
    def said(since: datetime | None = None) -> str:
        return nothing_to_label(traffic.database, since)

    assert "no traces yet" in said()
    traffic.refund(A, failing=False)
    for words in ("no trace of 1 is flagged", "evalgate label TRACE", "evalgate up --baseline-rate 1"):
        assert words in said()
    assert "no traces since then" in said(START + timedelta(days=1))
    traffic.refund(B)
    assert "the 1 flagged trace has a label" in said()
    traffic.refund(C)
    assert "each of the 2 flagged traces has a label" in said()
