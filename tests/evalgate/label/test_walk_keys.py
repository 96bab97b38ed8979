"""One sitting by keys: what each of them does, without a database."""

from __future__ import annotations

import io
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from evalgate.errors import BadInput
from evalgate.label.commands import _say_end
from evalgate.label.feed import ListFeed, Turn
from evalgate.label.state import State, Tally
from evalgate.label.walk import Walk
from evalgate.terminal import Terminal
from schema.verdict import Anchor, Label, Role, Severity, Verdict
from tests.evalgate.label.builders import NINE, MemoryRecords, Typed, trace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from evalgate.label.feed import Feed

A, B, C = ("0a" * 16, "0b" * 16, "0c" * 16)


@dataclass
class Sat:
    """What came of a sitting."""

    state: State
    shown: str
    keys: Typed

    @property
    def tally(self) -> tuple[int, int, int]:
        return self.state.tally.labelled, self.state.skipped, self.state.tally.undone


def three(**more: str) -> MemoryRecords:
    return MemoryRecords({t: trace_of(t, **more) for t in (C, B, A)})


def walk(
    records: MemoryRecords,
    *answers: str,
    edited: str = "",
    feed: Feed | None = None,
    now: Callable[[], datetime] = lambda: NINE,
    size: tuple[int, int] | None = None,
) -> Sat:
    """Walk what is unlabelled, or another feed, with these keys and lines."""
    keys, out, state = Typed(deque(answers), edited), io.StringIO(), State()
    waiting = tuple(t for t in records.traces if t not in records.said)
    seen = (lambda: size) if size else None
    Walk(records, Terminal(out, out), keys, "me", feed or ListFeed(waiting), state, now, seen).run()
    return Sat(state, out.getvalue(), keys)


def labels(records: MemoryRecords) -> dict[str, Label]:
    return {a.label.trace_id: a.label for a in records.kept}


def left(records: MemoryRecords) -> list[str]:
    return [t for t in records.traces if t not in records.said]


def test_everything_that_a_label_can_say() -> None:
    records = three()
    walk(
        records, "g", "m", "tone", "v", "h", "c", "  odd  ", "a", "3 90 DAYS", "a", "1", "a", "9", "a", "x",
        "enter", "q",
    )  # fmt: skip
    assert labels(records)[C] == Label(
        C,
        "",
        Verdict.BAD,
        "tone",
        comment="odd",
        annotator="me",
        severity=Severity.HIGH,
        anchors=(Anchor(2, 9, 16, "90 days"), Anchor(0, quote="You are kind.")),
    )


def test_stopping_keeps_what_was_said_and_the_next_walk_goes_on() -> None:
    records = three()
    walk(records, "g", "enter", "q")
    assert left(records) == [B, A]
    sat = walk(records, "g", "enter")  # then the input ends
    assert sat.tally == (1, 0, 0)
    assert left(records) == [A]
    assert "1 of 2" in sat.shown


def test_stopping_asks_about_what_is_not_saved() -> None:
    records = three()
    sat = walk(records, "b", "q", "x", "q", "enter", "never read")
    assert records.said == {C: ("bad", None, None, "")}
    assert list(sat.keys.answers) == ["never read"]
    sat = walk(records, "b", "q", "q", "never read")
    assert records.said == {C: ("bad", None, None, "")}
    assert list(sat.keys.answers) == ["never read"]


def test_to_and_fro_without_a_label_and_skipped_ones_come_again() -> None:
    records = three()
    sat = walk(records, "k", "c", "later", "j", "k", "g", "enter", "s", "g", "enter")
    assert sat.tally == (2, 1, 0)
    assert records.said == {C: ("good", None, None, "later"), A: ("good", None, None, "")}
    assert "this is the first one" in sat.shown
    assert left(records) == [B]


def test_undo_goes_back_to_that_trace_with_what_was_said() -> None:
    records = three()
    sat = walk(records, "b", "m", "tone", "enter", "j", "u", "v", "l", "enter", "q")
    assert sat.tally == (2, 0, 1)
    assert records.said == {C: ("bad", "tone", None, "")}
    assert labels(records)[C].severity is Severity.LOW


def test_undo_of_an_earlier_sitting_is_asked() -> None:
    records = three()
    walk(records, "g", "enter", "q")
    sat = walk(records, "u", "n", "q")
    assert "good (" in sat.shown
    assert "it stands" in sat.shown
    assert left(records) == [B, A]
    sat = walk(records, "u", "y", "b", "enter", "q")
    assert records.said == {C: ("bad", None, None, "")}
    walk(records, "u", "y", "q", "q")
    assert "there is no label of yours to undo" in walk(records, "u", "q").shown


def test_a_label_of_this_sitting_may_be_changed() -> None:
    records = three()
    sat = walk(records, "g", "enter", "k", "b", "enter", "q")
    assert records.said == {C: ("bad", None, None, "")}
    assert "you labelled it" in sat.shown


def test_other_keys_say_where_help_is() -> None:
    records = three()
    sat = walk(records, "X", "esc", "enter", "7", "x", "?", "q", "q")
    assert sat.shown.count("? shows the keys") == 2
    assert "say g, b or p first" in sat.shown
    assert "there is no number 7" in sat.shown
    assert "traces are removed from queues" in sat.shown
    assert "undo your last label" in sat.shown
    assert "\x1b" not in sat.shown


def test_a_wrong_name_is_told_and_a_like_one_is_asked() -> None:
    records = three()
    records.known_modes = ["policy_hallucination"]
    sat = walk(
        records, "b", "m", "a\x07b", "m", "m" * 200, "m", "Policy Halucination", "enter", "enter",
        "m", "policy-hallucinations", "n", "enter",
    )  # fmt: skip
    assert {t: mode for t, (_, mode, _, _) in records.said.items()} == {
        C: "policy_hallucination",
        B: "policy-hallucinations",
    }
    assert "control characters" in sat.shown
    assert "the limit is 120" in sat.shown


def test_the_editor_starts_with_the_answer() -> None:
    records = three()
    sat = walk(records, "b", "e", "e", "enter", "q", edited="Better.\n")
    assert sat.keys.offered == ["You have 90 days."]
    assert records.said == {C: ("bad", None, "Better.", "")}


def test_an_editor_that_fails_says_what_else_to_do() -> None:
    records = three()
    sat = walk(records, "b", "e", "e", "q", "q", edited="fail")
    assert "set EDITOR" in sat.shown
    assert records.kept == []


def test_open_shows_everything() -> None:
    records = three()
    assert "spans (1)" in walk(records, "o", "q").shown


def test_a_trace_that_is_gone_is_passed_over() -> None:
    records = three()
    del records.traces[B]
    sat = walk(records, "g", "enter", "k", "j", "g", "enter", feed=ListFeed((C, B, A)))
    assert sat.tally == (2, 0, 0)
    assert set(records.said) == {C, A}


@dataclass
class Kept:
    """A queue of one whose reservations a test watches."""

    trace_ids: list[str]
    reviewer_has: bool = True
    role: Role = Role.LABEL
    taken: Sequence[str] = ()
    """By somebody else."""
    calls: list[str] = field(default_factory=list)
    queue: str = "refunds"

    def waiting(self) -> Sequence[str]:
        return self.trace_ids

    def enter(self, trace_id: str) -> Turn | None:
        self.calls.append(f"enter {trace_id[:2]}")
        return Turn(("40 points: failure +40",), self.role) if trace_id not in self.taken else None

    def leave(self, trace_id: str) -> None:
        self.calls.append(f"leave {trace_id[:2]}")

    def keep(self, trace_id: str) -> None:
        self.calls.append(f"keep {trace_id[:2]}")

    def check(self, trace_id: str) -> None:
        self.calls.append(f"check {trace_id[:2]}")
        if not self.reviewer_has:
            raise BadInput("your reservation is over: it is with bob")

    def remove(self, trace_id: str, reason: str) -> None:
        self.calls.append(f"remove {trace_id[:2]} {reason}")


def test_a_reservation_is_begun_checked_and_given_back() -> None:
    feed, records = Kept([C, B, A]), three()
    walk(records, "g", "enter", "j", "x", "", "x", "ours", feed=feed)
    assert feed.calls == ["enter 0c", "check 0c", "enter 0b", "leave 0b", "enter 0a", "remove 0a ours"]
    assert labels(records)[C].queue == "refunds"


def test_what_went_to_others_is_told_apart_from_what_is_left() -> None:
    feed, out = Kept([C, B, A], taken=[B]), io.StringIO()
    sat = walk(three(), "g", "enter", "s", feed=feed)
    assert (sat.tally, sat.state.to_go, sat.state.gone) == ((1, 1, 0), 1, {B})
    _say_end(Terminal(out, out), None, replace(sat.state, tally=Tally()))  # type: ignore[arg-type]  # nothing is read
    assert "1 skipped, 1 to go (1 went to others meanwhile, or is done)" in out.getvalue()


def test_who_lost_the_reservation_saves_nothing_and_keeps_what_he_typed() -> None:
    feed, records = Kept([C], reviewer_has=False), three()
    sat = walk(records, "b", "c", "mine", "enter", feed=feed)
    assert "it is with bob" in sat.shown
    assert records.kept == []
    assert sat.state.forms[C].comment == "mine"
    assert feed.calls[-1] == "leave 0c"


def test_a_reservation_is_taken_anew_while_somebody_types() -> None:
    moments = iter(NINE + timedelta(seconds=s) for s in (0, 10, 59, 61, 100, 120, 121, 122))
    feed = Kept([C])
    walk(three(), *["up"] * 7, feed=feed, now=lambda: next(moments))
    assert feed.calls.count("keep 0c") == 2


def test_a_decision_has_its_role_and_the_labels_of_others() -> None:
    records = three()
    for who, verdict in (("ann", Verdict.BAD), ("bob", Verdict.GOOD)):
        about = (Anchor(2, quote="You have 90 days."),)
        records.save(records.trace(C), Label(C, "", verdict, annotator=who, comment=f"says {who}", anchors=about))
    sat = walk(records, "p", "enter", feed=Kept([C], role=Role.ADJUDICATION))
    assert "ann: bad, about message 3, “says ann”" in sat.shown
    assert "▸ 3 assistant" in sat.shown
    assert "yours is the decision" in sat.shown
    assert records.kept[-1].label.role is Role.ADJUDICATION
    assert "says ann" not in walk(records, "q", feed=Kept([C])).shown


def test_a_long_conversation_is_read_page_by_page_on_a_small_screen() -> None:
    records = MemoryRecords({C: trace_of(C, "first words " + "and so on " * 200 + "last words")})
    sat = walk(records, "space", "space", "back", "end", "down", "up", "q", size=(40, 12))
    screens = sat.shown.split("\x1b[H\x1b[2J")[1:]
    assert max(len(line) for screen in screens for line in screen.split("\n")) <= 40
    assert all(screen.count("\n") <= 12 for screen in screens)
    assert "1–8 of" in screens[0]
    assert "8–15 of" in screens[1]
    assert "15–22 of" in screens[2]
    assert "8–15 of" in screens[3]


def test_content_cannot_act_on_the_terminal_or_pose_as_ours() -> None:
    records = MemoryRecords({C: trace_of(C, "x\x1b[2Jy\nsaved: good \u202e", "[bold]")})
    shown = walk(records, "q").shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "  │ saved: good" in shown
    assert "[bold]" in shown


PRESSED = [*"gbpmvceaAjksxuo?q129-nlhy", "enter", "space", "back", "up", "down", "esc", "tab", "é", "2 90 days", "tone"]


@settings(max_examples=60, deadline=None)
@given(keys=st.lists(st.sampled_from(PRESSED), max_size=60), is_queue=st.booleans())
def test_whatever_is_typed_counts_add_up(keys: list[str], *, is_queue: bool) -> None:
    records = three()
    feed = Kept([C, B, A]) if is_queue else None
    sat = walk(records, *keys, feed=feed, size=(60, 20))
    tally, state = sat.state.tally, sat.state
    assert tally.kept == len(records.kept) == len(state.done)
    assert {a.label.trace_id for a in state.done} == set(records.said)
    assert sorted(state.trace_ids) == [A, B, C]
    assert 0 <= state.skipped <= state.to_go == 3 - len({*state.labelled, *state.gone})
    assert "\x1b[2J" not in sat.shown.replace("\x1b[H\x1b[2J", "")
    if isinstance(feed, Kept):
        begun = [c.split()[1] for c in feed.calls if c.startswith("enter")]
        ended = [c.split()[1] for c in feed.calls if c.startswith(("leave", "remove"))]
        labelled = tally.labelled + sum(c.startswith("check") for c in feed.calls)
        assert len(begun) <= len(ended) + labelled
