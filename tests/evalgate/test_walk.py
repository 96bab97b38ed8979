"""Labelling by keyboard: single keys, everything saved at once, undo, resume, queues."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.dataset.golden import read_golden
from evalgate.label.commands import _by_points, _open_queues, nothing_to_label
from evalgate.label.feed import ListFeed, QueueFeed
from evalgate.label.order import by_points
from evalgate.label.records import DatabaseRecords
from evalgate.label.walk import Walk
from evalgate.queue.definition import Queue
from evalgate.queue.fill import fill
from evalgate.queue.items import find_item
from evalgate.queue.store import close_queue, create_queue
from evalgate.review.agreement import agreement
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.review.decided import label_of
from evalgate.review.labels import draft, save, unlabelled
from evalgate.select.traces import load_trace
from evalgate.signals.weights import Weights
from evalgate.terminal import Terminal
from schema.verdict import Label, Role, Verdict
from tests.evalgate.label.builders import Typed
from tests.evalgate.traffic import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.label.feed import Feed
    from tests.evalgate.traffic import Traffic

ROOT = Path(__file__).parents[2]
A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)


@dataclass
class Sat:
    """What came of a sitting."""

    walk: Walk
    shown: str
    keys: Typed

    @property
    def tally(self) -> tuple[int, int, int]:
        found = self.walk.state
        return found.tally.labelled, found.skipped, found.tally.undone


def walk(database: TenantDatabase, *answers: str, edited: str = "", feed: Feed | None = None, who: str = "me") -> Sat:
    """Walk what is unlabelled, or another feed, with these keys and lines."""
    keys, out = Typed(deque(answers), edited), io.StringIO()
    sitting = Walk(
        DatabaseRecords(database, who), Terminal(out, out), keys, who, feed or ListFeed(tuple(unlabelled(database)))
    )
    sitting.run()
    return Sat(sitting, out.getvalue(), keys)


@pytest.fixture
def three(traffic: Traffic) -> TenantDatabase:
    """Three failing traces; the walk begins with C, the latest."""
    for trace_id in (A, B, C):
        traffic.refund(trace_id)
    return traffic.database


def labels(database: TenantDatabase) -> dict[str, Label]:
    """Return the label of each labelled trace."""
    found = {}
    for trace_id in (A, B, C):
        for x in load_trace(database, trace_id).labels:
            found[trace_id] = label_of(x, trace_id)
    return found


def words(database: TenantDatabase) -> dict[str, tuple[str, str | None, str | None, str]]:
    """Return verdict, failure mode, corrected output and comment of each labelled trace."""
    found = labels(database).items()
    return {t: (str(x.verdict), x.failure_mode, x.corrected_output, x.comment) for t, x in found}


def test_three_verdicts(three: TenantDatabase) -> None:
    sat = walk(three, "b", "m", "policy", "e", "You have 30 days.", "enter", "g", "enter", "p", "1", "enter")
    assert sat.tally == (3, 0, 0)
    assert words(three) == {
        C: ("bad", "policy", "You have 30 days.", ""),
        B: ("good", None, None, ""),
        A: ("partial", "policy", None, ""),
    }
    assert {r.status for r in list_cases(three)} == {CaseStatus.QUARANTINED}
    for said in ("1 of 3", "Can I return my shoes?", "why         tool_error", "1 policy", "is quarantined"):
        assert said in sat.shown
    assert sat.walk.state.to_go == 0


def test_what_has_the_most_points_comes_first_and_what_is_too_old_to_compare_last(
    three: TenantDatabase, traffic: Traffic
) -> None:
    traffic.trace("0e" * 16, [{"baseline": True, "input_text": "x", "output_text": "y"}])
    waiting = [*unlabelled(three), "ff" * 16]
    assert waiting == [C, B, A, "0e" * 16, "ff" * 16]
    ordered, why = by_points(three, ["0e" * 16, *waiting], Weights(), None, step=lambda _="": None)
    assert ordered == [C, B, A, "0e" * 16, "ff" * 16]
    assert why[C][0].startswith("50 points: failure +40 (tool_error), pattern +10")
    assert "more_of_same -" in why[A][0]
    assert "0e" * 16 not in why


def test_without_the_packages_for_points_the_latest_come_first(
    three: TenantDatabase, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    monkeypatch.setitem(sys.modules, "evalgate.label.order", None)
    out = io.StringIO()
    feed = _by_points(Terminal(out, out), three, [C, A, B], None)
    assert feed.waiting() == (C, A, B)
    assert "the latest first" in out.getvalue()


def queue_of(database: TenantDatabase, **more: Any) -> Queue:
    queue = create_queue(database, Queue("refunds", random_share=0.0, **more), actor="me")
    fill(database, queue, weights=Weights(), now=START + timedelta(hours=1), seed=1)
    return queue


def test_two_reviewers_of_a_queue_judge_blind_and_a_third_decides(three: TenantDatabase) -> None:
    queue = queue_of(three, reviewers=2, instructions="Prices are not our concern.")

    def sits(who: str, *keys: str) -> Sat:
        return walk(three, *keys, feed=QueueFeed(three, queue, who), who=who)

    first = sits("ann", "b", "m", "tone", "c", "rude", "enter", "x", "a test of ours", "q")
    assert "Prices are not our concern." in first.shown
    assert "points: failure" in first.shown
    assert first.walk.state.tally.removed == 1
    begun = QueueFeed(three, queue, "bob").waiting()[0]
    second = sits("bob", "g", "enter", "q")
    assert "rude" not in second.shown
    assert "what reviewers said" not in second.shown
    assert find_item(three, queue, begun).state == "disputed"
    (disagreement,) = agreement(three, queue="refunds").disagreements
    assert [(s.annotator, s.verdict) for s in disagreement.said] == [("ann", "bad"), ("bob", "good")]
    assert read_golden(three).disputed == (begun,)
    third = walk(three, "p", "1", "enter", feed=QueueFeed(three, queue, "eve", is_adjudicating=True), who="eve")
    assert "ann: bad, tone, “rude”" in third.shown
    assert "yours is the decision" in third.shown
    assert third.tally == (1, 0, 0)
    assert find_item(three, queue, begun).state == "done"
    decided = {x.annotator: x for x in (label_of(r, begun) for r in load_trace(three, begun).labels)}
    assert {a: (x.role, x.queue) for a, x in decided.items()} == {
        "ann": (Role.LABEL, "refunds"),
        "bob": (Role.LABEL, "refunds"),
        "eve": (Role.ADJUDICATION, "refunds"),
    }
    (case,) = read_golden(three).cases
    assert (case.verdict, case.failure_mode, case.provenance.annotator) == (Verdict.PARTIAL, "tone", "eve")


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
    subprocess.run([sys.executable, "-c", FILL, dsn, A, B, C, UNFLAGGED], cwd=ROOT, check=True, timeout=120)
    return dsn


def evalgate(dsn: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "evalgate.cli", *arguments, "--dsn", dsn]


def test_the_real_command_on_a_real_terminal(elsewhere: str, terminal_pair: tuple[int, int], tmp_path: Path) -> None:
    """By keys alone, in 80 x 24: three labels, an undo, a stop, and a second sitting that goes on and takes back."""
    master, slave = terminal_pair
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    screen = Screen(master)
    prompt, mode, corrected = "[q]uit > ", "Enter: none): ", "editor): "

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = evalgate(elsewhere, "label", *arguments, "--annotator", "me")
        return subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, env=environment)

    process = start()
    screen.wait_for("First pass: read 50 to 100 traces")
    for keys, after in (
        ("b", prompt), ("m", prompt), ("tone\n", mode), ("e", prompt), ("Better é.\n", corrected),
        (" ", "space: more"), ("\x1b[A", prompt), ("\r", prompt),
        ("g", prompt), ("\r", prompt), ("u", "saved: good"), ("p", "undone: good"), ("1", "partial"), ("\r", prompt),
        ("q", "saved: partial"),
    ):  # fmt: skip
        screen.type(keys, after=after)
    screen.wait_for("2 labelled, 0 skipped, 1 to go")
    screen.wait_for("First pass: 2 of 50 traces read")
    screen.wait_for("golden dataset: 2 cases in evals/golden/labels.jsonl (2 new)")
    assert process.wait(60) == 0

    process = start("0d0d", A[:8], UNFLAGGED)
    for keys, after in (("g", "1 of 2"), ("\r", prompt), ("u", "saved: good"), ("g", "undone"), ("\r", prompt)):
        screen.type(keys, after=after)
    screen.type("q", after="2 of 2")
    screen.wait_for("1 labelled, 0 skipped, 1 to go")
    assert process.wait(60) == 0

    golden = [json.loads(line) for line in (tmp_path / "evals/golden/labels.jsonl").read_text("utf-8").splitlines()]
    cases = {c["provenance"]["trace_id"]: c for c in golden}
    assert {t: (c["verdict"], c["failure_mode"], c["expected"]["output"]) for t, c in cases.items()} == {
        C: ("bad", "tone", "Better é."),
        B: ("partial", "tone", None),
        UNFLAGGED: ("good", None, None),
    }


def test_figures_of_labelling_on_the_command_line(
    three: TenantDatabase, dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str, code: int = 0) -> str:
        assert run([*arguments, "--dsn", dsn]) == code
        return capsys.readouterr().out

    assert "No trace has the labels of two people" in command("agreement")
    assert json.loads(command("golden", "show", "--json"))["cases"] == 0
    said = [("ann", "bad", "tone"), ("bob", "bad", None)]
    lines = [{"trace_id": t, "verdict": v, "failure_mode": m, "annotator": who} for who, v, m in said for t in (A, B)]
    lines.append({"trace_id": A, "verdict": "good", "annotator": "eve"})
    (project / "labels.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines), "utf-8")
    imported = command("label", "--from", "labels.jsonl")
    assert "5 labels saved\n2 cases quarantined until promoted: several labels of a trace make one case" in imported
    assert "golden dataset: 1 case in evals/golden/labels.jsonl (1 new)\nnext: evalgate cases list" in imported

    told = json.loads(command("agreement", "--json"))
    assert [(p["reviewers"], p["verdicts"]["agreed"]) for p in told["pairs"]] == [
        (["ann", "bob"], 2),
        (["ann", "eve"], 0),
        (["bob", "eve"], 0),
    ]
    assert [d["trace_id"] for d in told["disagreements"]] == [A]
    three.insert_rows("queue_items", [{"queue": "refunds", "trace_id": A, "event": "added"}])
    of_queue = json.loads(command("agreement", "--queue", "refunds", "--json"))
    assert (of_queue["labelled"], of_queue["several"], len(of_queue["pairs"])) == (1, 1, 3), "labels count anywhere"
    told_in_words = command("agreement")
    assert "several people labelled 2 of 2 labelled traces" in told_in_words
    assert "ann: bad, tone; bob: bad; eve: good" in told_in_words
    assert "1 trace is left out, for reviewers differ" in command("golden", "show")

    assert command("label", "--undo", "1", "--annotator", "eve", "--golden", "-") == f"undone: good of trace {A}\n"
    assert "is not up to date (1 new)" in command("golden", "export", "--check", code=1)
    assert "2 cases" in command("golden", "export")
    assert "is up to date" in command("golden", "export", "--check")
    progress = json.loads(command("label", "--progress", "--json"))
    assert (progress["stage"], progress["first_pass"]["done"], progress["modes"][0]["done"]) == ("first_pass", 2, 2)
    assert "2 of 50 traces read, 1 failure mode named" in command("label", "--progress")


def test_named_traces_are_known_before_a_person_begins(
    traffic: Traffic, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run(["label", "ffff", "--dsn", dsn]) == 2
    assert "no trace begins with ffff" in capsys.readouterr().err


def test_nobody_decides_between_himself_and_another(
    three: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)

    def said() -> str:
        assert run(["label", "--adjudicate", "--annotator", "ann", "--dsn", dsn]) == 0
        return capsys.readouterr().out

    assert "reviewers agree, or nobody labelled the same" in said()
    for who, verdict in (("ann", Verdict.BAD), ("bob", Verdict.GOOD)):
        save(three, [draft(three, Label(A, "", verdict, annotator=who))])
    assert "Nothing to decide for you: of 1 trace that is left one label is yours" in said()


def test_a_queue_that_is_closed_or_has_nothing_for_him_says_so(
    three: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    queue = create_queue(three, Queue("empty"), actor="me")
    assert run(["label", "--queue", "empty", "--annotator", "ann", "--dsn", dsn]) == 0
    assert "Nothing to label in queue empty for ann" in capsys.readouterr().out
    assert _open_queues(three) == "There are queues: evalgate label --queue empty."
    close_queue(three, queue, actor="me", reason="done")
    assert run(["label", "--queue", "empty", "--dsn", dsn]) == 2
    assert "the queue empty is closed" in capsys.readouterr().err
    assert not _open_queues(three)


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
