"""`evalgate label`: flagged traces one by one, a verdict by single keys.

Every label is saved at once, so that stopping at any moment loses nothing and the next walk goes on where this one
ended.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.review.labels import draft, failure_modes, save, undo
from evalgate.select.reading import conversation
from evalgate.select.show import (
    MAX_TEXT_CHARS,
    print_conversation,
    print_failures,
    print_feedback,
    print_head,
    print_trace,
)
from evalgate.select.traces import load_trace
from evalgate.terminal import one_line
from schema.verdict import Label, Verdict, failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import TenantDatabase
    from evalgate.review.keys import Keys
    from evalgate.select.traces import Trace
    from evalgate.terminal import Terminal

VERDICTS = {"g": Verdict.GOOD, "b": Verdict.BAD, "p": Verdict.PARTIAL}
PROMPT = "[g]ood  [b]ad  [p]artial   [c]omment  [o]pen all  [s]kip  [u]ndo  [q]uit  > "
EDITOR = "e"


@dataclass(slots=True)
class Tally:
    """What a walk came to."""

    labelled: int = 0
    skipped: int = 0
    undone: int = 0


@dataclass(slots=True)
class Walk:
    """One sitting of one reviewer; owns nothing but its place in the list."""

    database: TenantDatabase
    terminal: Terminal
    keys: Keys
    annotator: str

    def run(self, trace_ids: Sequence[str]) -> Tally:
        """Walk the traces until the last one or `q`."""
        tally, at = Tally(), 0
        done: list[int] = []
        while at < len(trace_ids):
            trace = load_trace(self.database, trace_ids[at])
            self._print(trace, at + 1, len(trace_ids))
            try:
                answer = self._decide(trace)
            except EOFError:
                break
            if answer == "q":
                break
            if answer == "u":
                if not done:
                    self.terminal.say("nothing to undo in this sitting; for earlier labels: evalgate label --undo")
                    continue
                at = done.pop()
                undo(self.database, 1, self.annotator)
                tally.undone += 1
                self.terminal.say("undone")
                continue
            if answer == "s":
                tally.skipped += 1
            else:
                done.append(at)
                tally.labelled += 1
            at += 1
        return tally

    def _print(self, trace: Trace, number: int, total: int) -> None:
        self.terminal.say(f"\n──── {number} of {total} " + "─" * 60)
        print_head(self.terminal, trace.row)
        print_conversation(self.terminal, conversation(trace), MAX_TEXT_CHARS)
        print_failures(self.terminal, trace, MAX_TEXT_CHARS)
        print_feedback(self.terminal, trace)

    def _decide(self, trace: Trace) -> str:
        """Return q, u, s or, once a label is saved, its key."""
        comment = ""
        while True:
            self.terminal.out.write(f"\n{PROMPT}")
            key = self.keys.key().lower()
            self.terminal.say(key if key.isalpha() else "")
            if key in "qus":
                return key
            if key == "c":
                comment = self.keys.line("comment: ").strip()
            elif key == "o":
                print_trace(self.terminal, trace, full=True)
            elif key in VERDICTS:
                self._save(trace, VERDICTS[key], comment)
                return key
            else:
                self.terminal.say("one of g b p c o s u q")

    def _save(self, trace: Trace, verdict: Verdict, comment: str) -> None:
        mode = None if verdict is Verdict.GOOD else self._failure_mode()
        corrected = None if verdict is Verdict.GOOD else self._corrected(trace)
        label = Label(trace.row.trace_id, "", verdict, mode, corrected, comment, self.annotator)
        saved = save(self.database, [draft(self.database, label)])
        words = f"saved: {verdict}{f', {mode}' if mode else ''}"
        if saved.without_case:
            words += "; no case, for the trace holds no input that could be sent again"
        elif saved.cases:
            words += f"; case {saved.cases[0]} is quarantined until promoted"
        self.terminal.say(words)

    def _failure_mode(self) -> str | None:
        known = failure_modes(self.database)
        for number, mode in enumerate(known, 1):
            self.terminal.say(f"  {number}  {mode}")
        while True:
            typed = self.keys.line("failure mode (number or a new name; Enter: none): ").strip()
            if typed.isascii() and typed.isdigit():
                if 1 <= int(typed) <= len(known):
                    return known[int(typed) - 1]
                self.terminal.say(f"there is no number {typed}")
                continue
            try:
                return failure_mode_of(typed)
            except ValueError as e:
                self.terminal.say(str(e))

    def _corrected(self, trace: Trace) -> str | None:
        typed = self.keys.line(f"corrected output (Enter: none; {EDITOR}: editor): ").strip()
        if typed != EDITOR:
            return typed or None
        said = [line.text for line in conversation(trace) if line.role == "assistant"]
        try:
            return self.keys.edit(said[-1] if said else "").strip() or None
        except (OSError, subprocess.CalledProcessError) as e:
            raise BadInput(f"the editor did not work ({one_line(str(e))}); set EDITOR, or use label --from") from None
