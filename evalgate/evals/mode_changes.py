"""What is told of a change of the taxonomy: what it came to, and which files of the project still say the old name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.evals.issue_show import change_json, lineage_words
from evalgate.evals.mode_files import mentions, rewrite
from evalgate.issues.taxonomy import Action
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.issues.modes import Changed
    from evalgate.terminal import Terminal


def tell_change(terminal: Terminal, changed: Changed, evaluators: Path, *, write: bool, json: bool) -> None:
    """Print a change, and the lines of evaluator files that name the mode; with `write`, change those first."""
    change = changed.change
    row = change.stated
    old, new = (row.to_mode, row.from_mode) if change.is_undone else (row.from_mode, row.to_mode)
    # Which evaluators look for what was split off, nobody can tell.
    lines = [] if change.action is Action.SPLIT else mentions(evaluators, old, new)
    if change.is_undone and change.action is Action.MERGED:
        lines = []  # those of the target name it, too
    written = rewrite(evaluators, old, new) if write and lines else []
    if json:
        terminal.emit(
            {
                **change_json(change),
                "cases": list(changed.cases),
                "lines": [{"path": str(m.path), "line": m.line, "before": m.before, "after": m.after} for m in lines],
                "written": [str(path) for path in written],
            }
        )
        return
    terminal.say(lineage_words(change, 0))
    if changed.cases:
        terminal.say(f"{count_of(len(changed.cases), 'case')} {'says' if len(changed.cases) == 1 else 'say'} so now")
    for m in lines:
        terminal.say(f"{m.path} line {m.line}: {m.before}" if written else f"{m.path} line {m.line} says {m.before}")
        terminal.say(f"{'now' if written else 'write'}: {m.after}")
    if lines and not written:
        terminal.say("to have them changed, and nothing else: --write")
    if written:
        terminal.say("an evaluator that names other cases is another version; measure it: evalgate evals align")
    terminal.say("next: evalgate dataset build for files of cases, and evalgate issues export, and commit them")
