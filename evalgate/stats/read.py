"""Sums out of the database: a few rows, however many traces there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.database import sql
from evalgate.stats.estimate import Sums
from evalgate.stats.measures import EVERY, group_expression

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from evalgate.database import TenantDatabase
    from evalgate.select.where import Where

MAX_ROWS: Final = 50_000
"""Groups times measures; the largest come first."""


@dataclass(frozen=True, slots=True)
class Group:
    """The traces of a group, summed up."""

    name: str
    sums: Mapping[str, Sums]
    """By measure; columns of length one. Of each, what does not have the measure is in it, too."""
    row: Mapping[str, Any]
    """Of the measure that every trace has: see sums.sql."""

    def of(self, measure: str) -> Sums:
        """Return the sums of a measure; those of one that no trace has, where there is none."""
        found = self.sums.get(measure)
        return _sums(self.row, None) if found is None else found


def read_groups(database: TenantDatabase, where: Where, by: str | None) -> list[Group]:
    """Return the groups of traces that meet the conditions, the largest first; all as one where `by` names none."""
    text = sql(__package__, "sums").replace("/* group */", group_expression(by)).replace("/* conditions */", where.sql)
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in database.rows(text, {"limit": MAX_ROWS, **where.parameters}):
        rows.setdefault(str(row["group_name"]), []).append(row)
    return [_group(own) for own in rows.values() if own[0]["measure"] == EVERY]


def read_crossed(
    database: TenantDatabase, where: Where, first: str, second: str, *, settings: str = ""
) -> dict[tuple[str, str], Group]:
    """Return the groups of traces that meet the conditions, by two names at once: sums of these are groups of one.

    `settings` ends the statement: a SETTINGS clause of ours, or nothing.
    """
    both = f"toJSONString((toString({group_expression(first)}), toString({group_expression(second)})))"
    text = sql(__package__, "sums").replace("/* group */", both).replace("/* conditions */", where.sql)
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in database.rows(text + settings, {"limit": MAX_ROWS, **where.parameters}):
        one, other = json.loads(row["group_name"])
        rows.setdefault((one or "", other or ""), []).append(row)
    return {names: _group(own) for names, own in rows.items() if own[0]["measure"] == EVERY}


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled traces that are failing, or that are not."""

    sums: Mapping[str, Sums]
    """By measure, as of a group; empty where nothing is labelled."""
    row: Mapping[str, Any]
    traces: int
    unsampled: int
    """Labelled though neither failing nor in the sample: they stand for nothing."""

    def of(self, measure: str) -> Sums:
        """Return the sums of a measure; those of one that no trace has, where there is none."""
        if not self.sums:
            return nothing()
        found = self.sums.get(measure)
        return _sums(self.row, None) if found is None else found


def read_labels(database: TenantDatabase, where: Where) -> tuple[Labelled, Labelled]:
    """Return what is labelled of the failing traces, and of the others."""
    text = sql(__package__, "labels").replace("/* conditions */", where.sql)
    rows = database.rows(text, {"limit": MAX_ROWS, **where.parameters})
    return _labelled(rows, failing=True), _labelled(rows, failing=False)


def nothing() -> Sums:
    """Return sums over no traces."""
    zero, one = _column(0), _column(1)
    return Sums(zero, zero, zero, zero, zero, zero, zero, zero, zero, one, one)


def _labelled(rows: Sequence[Mapping[str, Any]], *, failing: bool) -> Labelled:
    own = [r for r in rows if bool(r["is_failing"]) is failing]
    every = next((r for r in own if r["measure"] == EVERY), None)
    if every is None:
        return Labelled({}, {}, 0, 0)
    sums = {str(r["measure"]): _sums(every, r) for r in own if r["measure"] != EVERY}
    return Labelled({EVERY: _sums(every, every), **sums}, every, int(every["traces"]), int(every["unsampled"]))


def _group(own: Sequence[Mapping[str, Any]]) -> Group:
    every = own[0]
    return Group(str(every["group_name"]), {str(r["measure"]): _sums(every, r) for r in own}, every)


def _sums(every: Mapping[str, Any], events: Mapping[str, Any] | None) -> Sums:
    """Return the sums of a measure beside those of every trace; None: no trace has it."""
    of = events or dict.fromkeys(("traces", "weight", "weight2", "session_aa", "session_ab"), 0)
    aa, ab = float(of["session_aa"]), float(of["session_ab"])
    return Sums(
        traces=_column(every["traces"]),
        weight=_column(every["weight"]),
        weight2=_column(every["weight2"]),
        events=_column(of["traces"]),
        event_weight=_column(of["weight"]),
        event_weight2=_column(of["weight2"]),
        session_aa=_column(aa),
        session_ac=_column(ab - aa),
        session_cc=_column(max(float(every["session_aa"]) - 2 * ab + aa, 0.0)),
        unseen_event=_column(every["unseen_event"]),
        unseen_other=_column(every["unseen_other"]),
    )


def _column(value: Any) -> NDArray[np.float64]:
    return np.array([float(value)])
