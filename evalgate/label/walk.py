"""A sitting: one trace after the other, judged by single keys.

Every label is saved at once, so that stopping at any moment loses nothing and the next sitting goes on where this one
ended, with what was typed and not saved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.label.judging import Judging, Move
from evalgate.label.screen import Screen, terminal_size
from evalgate.label.state import State
from evalgate.review.labels import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from evalgate.label.feed import Feed
    from evalgate.label.keys import Keys
    from evalgate.label.records import Records
    from evalgate.label.state import Tally
    from evalgate.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Walk:
    """One sitting of one reviewer."""

    records: Records
    terminal: Terminal
    keys: Keys
    annotator: str
    feed: Feed
    state: State = field(default_factory=State)
    now: Callable[[], datetime] = utc_now
    size: Callable[[], tuple[int, int]] | None = None
    """Columns and lines of the screen; None: the terminal is asked."""

    def run(self) -> Tally:
        """Walk what waits until its end, or until `q`."""
        self.state.trace_ids = list(self.feed.waiting())
        screen = Screen(self.terminal, self.size or (lambda: terminal_size(self.terminal)))
        at, step = 0, 1
        while self._has(at):
            trace_id = self.state.trace_ids[at]
            turn = self.feed.enter(trace_id)
            if turn is None and trace_id not in self.state.labelled:
                at, step = self._without(at, step)
                continue
            try:
                trace = self.records.trace(trace_id)
            except BadInput:  # its time is over
                self.feed.leave(trace_id)
                at, step = self._without(at, step)
                continue
            judging = Judging(
                records=self.records, terminal=self.terminal, keys=self.keys, annotator=self.annotator,
                feed=self.feed, now=self.now,
                state=self.state, screen=screen, trace=trace, turn=turn, at=at,
            )  # fmt: skip
            try:
                move = judging.run()
            except (EOFError, KeyboardInterrupt):
                self.feed.leave(trace_id)
                break
            at, step = self._after(move, at)
            if move is Move.QUIT:
                break
        return self.state.tally

    def _has(self, at: int) -> bool:
        """Tell whether there is one here; at the end, whether more has come in the meantime."""
        if at >= len(self.state.trace_ids):
            known = {*self.state.trace_ids, *self.state.gone}
            self.state.trace_ids += [i for i in self.feed.waiting() if i not in known]
        return at < len(self.state.trace_ids)

    def _without(self, at: int, step: int) -> tuple[int, int]:
        """Drop a trace that is not to be had; return where to go on."""
        self.state.gone.add(self.state.trace_ids.pop(at))
        return (at - 1, step) if step < 0 < at else (at, 1)

    def _after(self, move: Move, at: int) -> tuple[int, int]:
        """Return where to go on, and in which direction."""
        match move:
            case Move.BACK:
                return at - 1, -1
            case Move.UNDONE:
                return self.state.trace_ids.index(self.state.done.pop().label.trace_id), 1
            case Move.REMOVED:
                self.state.gone.add(self.state.trace_ids[at])
                return at + 1, 1
            case _:
                return at + 1, 1
