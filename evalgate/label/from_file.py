"""`evalgate label --from`: labels that were written elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.review.labels import Faulty, drafts_of, read_labels, save
from evalgate.terminal import count_of, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.database import TenantDatabase
    from evalgate.review.labels import Draft, Saved
    from evalgate.terminal import Terminal

MAX_FAULTS_SHOWN = 20


def import_labels(
    terminal: Terminal, database: TenantDatabase, source: Path, who: str, *, partial: bool, json: bool
) -> None:
    """Save the labels of a file and say what came of it.

    Raises:
        BadInput: a line is wrong and the rest was not asked for (`partial`), or there is nothing to save.

    """
    labels, faulty = read_labels(source, who)
    drafts: list[Draft] = []
    lines: dict[tuple[str, str, str, str], int] = {}
    with terminal.progress("reading traces", len(labels)) as step:
        for (number, item), made in zip(labels, drafts_of(database, [item for _, item in labels]), strict=True):
            if isinstance(made, BadInput):
                faulty.append(Faulty(number, str(made)))
            else:
                key = (made.annotation.label.trace_id, made.annotation.label.span_id, item.annotator, str(item.role))
                if key in lines:
                    faulty.append(Faulty(number, f"labels the trace of line {lines[key]} again"))
                else:
                    lines[key] = number
                    drafts.append(made)
            step()
    faulty.sort(key=lambda f: f.line)
    for f in faulty[:MAX_FAULTS_SHOWN]:
        terminal.note(f"{source} line {f.line}: {one_line(f.message)}")
    if len(faulty) > MAX_FAULTS_SHOWN:
        terminal.note(f"… and {count_of(len(faulty) - MAX_FAULTS_SHOWN, 'more line')}")
    if faulty and not partial:
        read = count_of(len({*(n for n, _ in labels), *(f.line for f in faulty)}), "line")
        wrong = f"{len(faulty)} of {read} {'is' if len(faulty) == 1 else 'are'} wrong"
        raise BadInput(f"nothing was saved: {wrong}. Correct {'it' if len(faulty) == 1 else 'them'}, or say --partial")
    if not drafts:
        raise BadInput(f"{source} holds no label that could be saved")
    saved = save(database, drafts)
    if json:
        terminal.emit(
            {
                "saved": saved.labels,
                "repeated": saved.repeated,
                "faulty": [{"line": f.line, "message": f.message} for f in faulty],
                "cases": list(saved.cases),
                "without_case": saved.without_case,
            }
        )
        return
    repeated = f", {saved.repeated} there already" if saved.repeated else ""
    terminal.say(f"{count_of(saved.labels, 'label')} saved{repeated}")
    if saved.cases:
        terminal.say(f"{count_of(len(saved.cases), 'case')} quarantined until promoted{_others(saved)}")
    if saved.without_case:
        words = "makes no case: its trace holds" if saved.without_case == 1 else "make no case: their traces hold"
        terminal.say(f"{count_of(saved.without_case, 'label')} {words} no input that could be sent again")


def _others(saved: Saved) -> str:
    """Say why there are fewer cases than labels, where there are."""
    if len(saved.cases) >= saved.labels - saved.without_case:
        return ""
    return ": several labels of a trace make one case, and a label that changes nothing of a case makes none"
