"""Versions of a dataset, and what is different between two, in words and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from evalgate.terminal import count_of, one_line
from schema.case import case_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.dataset.versions import Compared, DatasetVersion
    from evalgate.terminal import Terminal
    from schema.case import Case

SHOWN_CHARS = 60
COMMIT_CHARS = 10
VERSION_CHARS = 12


def print_versions(terminal: Terminal, known: Sequence[DatasetVersion]) -> None:
    """Print a table, the newest first."""
    rows = [
        (
            v.name[:VERSION_CHARS],
            (v.at or "now")[:16].replace("T", " "),
            "" if v.cases is None else str(v.cases),
            _changes(v),
            (v.commit or "")[:COMMIT_CHARS],
            _words(v),
        )
        for v in known
    ]
    terminal.table(("version", "since", "cases", "changes", "commit", ""), rows)


def print_compared(terminal: Terminal, name: str, compared: Compared) -> None:
    """Print what was added, removed and changed, a line for each case and field."""
    what = compared.diff
    between = f"{name} {compared.before.name[:VERSION_CHARS]} → {compared.after.name[:VERSION_CHARS]}"
    if what.is_empty:
        terminal.say(f"{between}: the same {count_of(what.unchanged, 'case')}")
        return
    terminal.say(
        f"{between}: {len(what.added)} added, {len(what.removed)} removed, {len(what.changed)} changed, "
        f"{what.unchanged} unchanged"
    )
    for mark, cases, style in (("+", what.added, "green"), ("-", what.removed, "red")):
        for case in cases:
            terminal.say(f"{mark} {case.case_id}  {_told(case)}", style=style)
    for change in what.changed:
        aside = "" if change.is_judged_anew else "  (nothing that is judged)"
        terminal.say(f"~ {change.case_id}  {_told(change.after)}{aside}", style="yellow")
        for f in change.fields:
            terminal.say(f"    {f.name}: {_value(f.before)} → {_value(f.after)}")


def compared_to_json(name: str, compared: Compared) -> dict[str, object]:
    """Return both versions and what is different; cases whole."""
    what = compared.diff
    return {
        "name": name,
        "before": asdict(compared.before),
        "after": asdict(compared.after),
        "added": [case_to_json(c) for c in what.added],
        "removed": [case_to_json(c) for c in what.removed],
        "changed": [
            {"case_id": c.case_id, "is_judged_anew": c.is_judged_anew, "fields": [asdict(f) for f in c.fields]}
            for c in what.changed
        ],
        "unchanged": what.unchanged,
    }


def _changes(v: DatasetVersion) -> str:
    counts = (("+", v.added), ("-", v.removed), ("~", v.changed))
    return " ".join(f"{mark}{n}" for mark, n in counts if n)


def _words(v: DatasetVersion) -> str:
    said = [one_line(v.subject, SHOWN_CHARS)] if v.subject else []
    if v.commit is None:
        said.append("built, not committed" if v.built_at else "edited by hand, not committed")
    if v.set_aside:
        said.append(f"{count_of(v.set_aside, 'line')} that no case can be read from")
    return "; ".join([*said, *([v.unread] if v.unread and v.commit else [])])


def _told(case: Case) -> str:
    mode = f"{one_line(case.failure_mode)}: " if case.failure_mode else ""
    return f"{mode}{one_line(case.input.text or '', SHOWN_CHARS)}"


def _value(text: str | None) -> str:
    return "(nothing)" if text is None else one_line(text, SHOWN_CHARS)
