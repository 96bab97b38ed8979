"""One trace on the screen, and what each key does to it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from evalgate.label.feed import Turn
from evalgate.label.form import Form
from evalgate.label.page import Row, fold, rows
from evalgate.review.anchors import anchor_at, anchor_quoting
from evalgate.review.decided import label_of, latest_each
from evalgate.review.naming import chosen
from evalgate.select.reading import conversation, final_output
from evalgate.terminal import one_line
from schema.verdict import MAX_ANCHORS, Role, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from evalgate.label.feed import Feed
    from evalgate.label.keys import Keys
    from evalgate.label.records import Records
    from evalgate.label.screen import Screen
    from evalgate.label.state import State
    from evalgate.select.traces import Trace
    from evalgate.terminal import Terminal
    from schema.verdict import Anchor

VERDICTS: Final = {"g": Verdict.GOOD, "b": Verdict.BAD, "p": Verdict.PARTIAL}
SEVERITIES: Final = {s.value[0]: s for s in Severity}
EDITOR: Final = "e"
NOTHING: Final = "-"
KEEP_S: Final = timedelta(seconds=60)
"""A reservation is taken anew at a key that comes so long after the last time."""
PROMPT: Final = "[g]ood [b]ad [p]artial  [1-9] mode  [Enter] save  [?] help  [q]uit > "
SHORT_PROMPT: Final = "g b p 1-9 Enter ? q > "
SHOWN_MODES: Final = 9
MESSAGE_ROWS: Final = 3
HELP: Final = """\
  g  b  p        good, bad, partial
  1 … 9          a failure mode of the list; m: by number or name, or a new one
  v              severity: l low, m medium, h high, c critical, - none
  c              comment                    e  what should have been said
  a              what it is about: a message, or words of one; A clears
  Enter          save, and go on to the next
  j  k           next and previous, without saving
  s              skip: not in this sitting
  x              remove from the queue, with a reason
  u              undo your last label, and go back to it
  space, ↓ ↑     read on, or back (also Backspace, Page keys)
  o              everything: every span, nothing cut; again: as before
  q              stop; what is saved is saved, the next sitting goes on here"""


class Move(StrEnum):
    """What comes after a trace."""

    NEXT = "next"
    BACK = "back"
    SAVED = "saved"
    SKIPPED = "skipped"
    UNDONE = "undone"
    REMOVED = "removed"
    QUIT = "quit"


@dataclass(slots=True, kw_only=True)
class Judging:
    """One trace on the screen, until a key leads elsewhere."""

    records: Records
    terminal: Terminal
    keys: Keys
    annotator: str
    feed: Feed
    now: Callable[[], datetime]
    state: State
    screen: Screen
    trace: Trace
    turn: Turn | None
    """None: his own label of this sitting is looked at again."""
    at: int
    """Its place in the walk, from 0."""
    is_full: bool = False
    modes: list[str] = field(default_factory=list)
    kept_at: datetime | None = None
    made: tuple[object, Sequence[Row]] | None = None
    """The rows that were drawn last, and what they were made for."""

    @property
    def trace_id(self) -> str:
        """Its whole id."""
        return self.trace.row.trace_id

    @property
    def form(self) -> Form:
        """What is decided: what was typed, else what his own label says."""
        return self.state.forms.get(self.trace_id) or self._said() or Form()

    @form.setter
    def form(self, form: Form) -> None:
        self.state.typed(self.trace_id, form)

    def run(self) -> Move:
        """Read keys until they lead elsewhere."""
        self.modes = self.state.settled(self.records.modes())
        self.kept_at = self.now()
        is_new = True
        while True:
            self._draw(is_new=is_new)
            is_new = False
            key = self.keys.key()
            self.state.message = ""
            if not self.screen.terminal.is_rich:
                self.terminal.say(key if key.isprintable() else "")
            try:
                self._keep()
                move = self._press(key)
            except (BadInput, ValueError) as e:
                self.state.message, move = one_line(str(e)), None
            is_new = key == "o"
            if move is not None:
                return move

    def _press(self, key: str) -> Move | None:
        """Do what a key says; return where it leads, None: to go on with this trace."""
        match key:
            case "q":
                return self._stop()
            case "j" | "right":
                return self._leave(Move.NEXT)
            case "k" | "left":
                if self.at == 0:
                    raise BadInput("this is the first one")
                return self._leave(Move.BACK)
            case "s":
                self.state.passed_over.add(self.trace_id)
                return self._leave(Move.SKIPPED)
            case "x":
                return self._remove()
            case "u":
                return self._undo()
            case "enter":
                return self._save()
            case _:
                self._change(key)
                return None

    def _change(self, key: str) -> None:
        """Do what a key says that leads nowhere."""
        match key:
            case "g" | "b" | "p":
                self.form = self.form.judged(VERDICTS[key])
            case "m":
                self.form = self.form.failing(self._mode())
            case "v":
                self.form = self.form.severe(self._severity())
            case "c":
                self.form = replace(self.form, comment=self._text("comment", self.form.comment))
            case "e":
                self.form = self.form.corrected(self._corrected())
            case "a":
                self.form = replace(self.form, anchors=self._anchors())
            case "A":
                self.form = replace(self.form, anchors=())
            case "o":
                self.is_full = not self.is_full
            case "?":
                self._help()
            case "space" | "pagedown":
                self.screen.turn(1)
            case "back" | "pageup":
                self.screen.turn(-1)
            case "down" | "up":
                self.screen.line_down(1 if key == "down" else -1)
            case _ if key in "123456789":
                self.form = self.form.failing(chosen(key, self.modes).failure_mode)
            case _:
                raise BadInput("? shows the keys")

    def _draw(self, *, is_new: bool) -> None:
        width = self.screen.width
        footer = [Row(self._progress(), "dim"), Row(self.form.words, "bold")]
        if self.modes:
            listed = "  ".join(f"{n} {one_line(m)}" for n, m in enumerate(self.modes[:SHOWN_MODES], 1))
            footer.append(Row(listed))
        if self.state.message:
            footer += [Row(piece, "yellow") for piece in islice(fold(self.state.message, width), MESSAGE_ROWS)]
        prompt = PROMPT if width > len(PROMPT) else SHORT_PROMPT
        self.screen.draw(self._rows(width), footer, prompt, is_new=is_new)

    def _rows(self, width: int) -> Sequence[Row]:
        """Return the rows of the trace, made anew only when they would be others: a trace may have megabytes."""
        asked = (width, self.is_full, self.form.anchors)
        if self.made is None or self.made[0] != asked:
            shown = (self.turn or Turn()).shown(self.trace, is_full=self.is_full)
            self.made = (asked, rows(self.trace, self.form, shown, width))
        return self.made[1]

    def _progress(self) -> str:
        tally, counts = self.state.tally, self.state.counts
        kept = tally.labelled - tally.undone
        words = [f"{self.at + 1} of {len(self.state.trace_ids)}"]
        words += [f"queue {self.feed.queue}"] if self.feed.queue else []
        words += [f"{kept} this sitting", f"{counts.this_week + kept} this week"]
        if self.turn is not None and self.turn.role is Role.ADJUDICATION:
            words.append("reviewers differ: yours is the decision")
        elif self.turn is None or self._said() is not None:
            words.append("you labelled it")
        return " · ".join(words)

    def _said(self) -> Form | None:
        """Return what this reviewer's own label of the trace says."""
        mine = latest_each(x for x in self.trace.labels if not x["span_id"]).get(self.annotator)
        return Form.of(label_of(mine, self.trace_id)) if mine is not None else None

    def _keep(self) -> None:
        now = self.now()
        if self.turn is not None and self.kept_at is not None and now - self.kept_at >= KEEP_S:
            self.kept_at = now
            self.feed.keep(self.trace_id)

    def _leave(self, move: Move) -> Move:
        if self.turn is not None:
            self.feed.leave(self.trace_id)
        return move

    def _stop(self) -> Move:
        typed = self.state.forms.get(self.trace_id)
        if typed not in (None, Form(), self._said()):
            answer = self._ask("not saved yet: [Enter] saves it, [q] throws it away, any other key stays > ")
            if answer == "enter":
                self._save()
                return Move.QUIT
            if answer != "q":
                raise BadInput("go on")
            self.state.typed(self.trace_id, None)
        return self._leave(Move.QUIT)

    def _save(self) -> Move:
        role = self.turn.role if self.turn is not None else Role.LABEL
        label = self.form.label(self.trace_id, self.annotator, queue=self.feed.queue, role=role)
        if self.turn is not None:
            self.feed.check(self.trace_id)
        kept = self.records.save(self.trace, label)
        self.state.typed(self.trace_id, None)
        if not kept.is_repeated:
            self.state.tally.labelled += 1
            self.state.done.append(kept.annotation)
        words = f"saved: {Form.of(label).words}"
        if kept.is_without_input:
            words += "; no case, for the trace holds no input that could be sent again"
        elif kept.case_id:
            words += f"; case {kept.case_id} is quarantined until promoted"
        self.state.message = words
        return Move.SAVED

    def _remove(self) -> Move:
        if not self.feed.queue:
            self.feed.remove(self.trace_id, "")
        reason = self.keys.line("\nwhy does it not belong into the queue (Enter: it stays): ").strip()
        if not reason:
            raise BadInput("it stays")
        self.feed.remove(self.trace_id, reason)
        self.state.tally.removed += 1
        self.state.message = f"removed from queue {self.feed.queue}"
        return Move.REMOVED

    def _undo(self) -> Move:
        """Take a label back: the last one of this sitting, else, when it is confirmed, of an earlier one."""
        if not self.state.done:
            found = self.records.latest(self.feed.queue)
            if found is None:
                raise BadInput("there is no label of yours to undo")
            given = f"{found.created_at:%d %b %H:%M}, trace {found.label.trace_id[:16]}"
            words = f"{Form.of(found.label).words} ({given})"
            if self._ask(f"of an earlier sitting: {words}. Undo it? [y/n] > ") != "y":
                raise BadInput("it stands")
            self.state.done.append(found)
            self.state.tally.labelled += 1
        last = self.state.done[-1].label
        self._leave(Move.UNDONE)
        undone = self.records.undo(last.trace_id)
        self.state.tally.undone += 1
        self.state.message = f"undone: {Form.of(undone.label).words}"
        self.state.typed(undone.label.trace_id, Form.of(undone.label))
        if undone.label.trace_id not in self.state.trace_ids:
            self.state.trace_ids.insert(self.at, undone.label.trace_id)
        return Move.UNDONE

    def _ask(self, question: str) -> str:
        self.terminal.out.write(f"\n{question}")
        self.terminal.out.flush()
        return self.keys.key()

    def _mode(self) -> str | None:
        for number, mode in enumerate(self.modes[SHOWN_MODES:], SHOWN_MODES + 1):
            self.terminal.say(f"{'' if number > SHOWN_MODES + 1 else chr(10)}  {number}  {one_line(mode)}")
        typed = self.keys.line("\nfailure mode (number or name; Enter: none): ")
        found = chosen(typed, self.modes)
        if found.like is not None:
            pair = f"{one_line(found.failure_mode or '')!r} is new, and like {one_line(found.like)!r}"
            question = f"{pair}: [Enter] takes that, [n] is new > "
            return found.failure_mode if self._ask(question) == "n" else found.like
        return found.failure_mode

    def _severity(self) -> Severity | None:
        key = self._ask("severity: [l]ow [m]edium [h]igh [c]ritical, [-] none > ")
        if key not in (*SEVERITIES, NOTHING):
            raise BadInput("no severity was chosen")
        return SEVERITIES.get(key)

    def _text(self, what: str, before: str) -> str:
        now = f", now: {one_line(before, 60)}; Enter keeps it, {NOTHING} clears it" if before else ""
        typed = self.keys.line(f"\n{what}{now}: ").strip()
        return before if not typed else "" if typed == NOTHING else typed

    def _corrected(self) -> str | None:
        before = self.form.corrected_output or ""
        typed = self._text(f"what should have been said ({EDITOR}: editor)", before)
        if typed != EDITOR:
            return typed or None
        try:
            return self.keys.edit(before or final_output(self.trace) or "").strip() or None
        except (OSError, subprocess.CalledProcessError) as e:
            raise BadInput(
                f"the editor did not work ({one_line(str(e))}); set EDITOR, or type it in one line"
            ) from None

    def _anchors(self) -> tuple[Anchor, ...]:
        if len(self.form.anchors) == MAX_ANCHORS:
            raise BadInput(f"a label is about {MAX_ANCHORS} places at most; A clears them")
        typed = self.keys.line("\nabout message (number, then words of it; only a number: all of it): ").strip()
        number, _, words = typed.partition(" ")
        if not (number.isascii() and number.isdigit()):
            raise BadInput("an anchor begins with the number of a message, as in: 2 within 90 days")
        lines, message = conversation(self.trace), int(number) - 1
        made = anchor_quoting(lines, message, words) if words.strip() else anchor_at(lines, message)
        return tuple(dict.fromkeys((*self.form.anchors, made)))

    def _help(self) -> None:
        self.terminal.out.write("\n")
        for line in HELP.split("\n"):
            self.terminal.say(line)
        self._ask("any key goes back > ")
