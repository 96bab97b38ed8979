"""Two verdicts on the same traces, added up: what is flagged now and then, and what differs.

A trace stands for others where retention took those that nobody flagged: it counts as many as it stands for. Of such a
time only the old baseline is there, so whether a trace would be in a new one is not looked up but counted in parts: of
all of them, the new rate would have taken that part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float64]

EXAMPLES: Final = 1000
"""Traces that are remembered by id of each kind of change."""
GROUPS: Final = 10_000
"""Services and features that are counted apart; further ones together."""
OTHERS: Final = ("(others)", "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy says of some traces."""

    failing: Mask
    reasons: Sequence[frozenset[str]]
    baseline: Floats
    """Whether the trace is in the baseline: 0, 1, or with which probability."""

    @property
    def flagged(self) -> Floats:
        """Whether the trace is picked, as `baseline`."""
        return np.where(self.failing, 1.0, self.baseline)


@dataclass(frozen=True, slots=True)
class Traces:
    """The traces themselves."""

    ids: Sequence[str]
    service: Sequence[str]
    feature: Sequence[str]
    bytes: Floats
    """On disk, about."""
    weight: Floats
    """How many traces each stands for."""


@dataclass(slots=True)
class Change:
    """One figure, now and then. Gained and lost are of traces, so `then` is `now` + `gained` - `lost`."""

    now: float = 0.0
    then: float = 0.0
    gained: float = 0.0
    lost: float = 0.0

    def add(self, now: Floats, then: Floats, weight: Floats) -> None:
        """Count traces."""
        self.now += float((now * weight).sum())
        self.then += float((then * weight).sum())
        self.gained += float((np.maximum(then - now, 0) * weight).sum())
        self.lost += float((np.maximum(now - then, 0) * weight).sum())


@dataclass(frozen=True, slots=True)
class Example:
    """One trace whose verdict changes."""

    trace_id: str
    service: str
    reasons: tuple[str, ...]
    """Those that make it failing on the one side; on the other there are none."""
    baseline: bool
    """Whether the baseline would have it all the same."""


@dataclass(slots=True)
class Group:
    """The traces of one service and feature."""

    traces: float = 0.0
    failing: Change = field(default_factory=Change)
    flagged: Change = field(default_factory=Change)


@dataclass(slots=True)
class Comparison:
    """Everything that was counted so far."""

    stored: int = 0
    """Traces that were looked at."""
    traces: float = 0.0
    """Traces that they stand for."""
    bytes: float = 0.0
    failing: Change = field(default_factory=Change)
    baseline: Change = field(default_factory=Change)
    """In the baseline alone: not failing."""
    flagged: Change = field(default_factory=Change)
    flagged_bytes: Change = field(default_factory=Change)
    reasons: dict[str, Change] = field(default_factory=dict)
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    lost: list[Example] = field(default_factory=list)
    """Failing now and not then; the first EXAMPLES of them. `failing.lost` counts all."""
    gained: list[Example] = field(default_factory=list)

    def add(self, traces: Traces, now: Verdict, then: Verdict) -> None:
        """Count the traces of a portion."""
        weight = traces.weight
        self.stored += len(traces.ids)
        self.traces += float(weight.sum())
        self.bytes += float((weight * traces.bytes).sum())
        failing = now.failing.astype(float), then.failing.astype(float)
        self.failing.add(*failing, weight)
        self.baseline.add(now.baseline * ~now.failing, then.baseline * ~then.failing, weight)
        self.flagged.add(now.flagged, then.flagged, weight)
        self.flagged_bytes.add(now.flagged, then.flagged, weight * traces.bytes)
        self._add_reasons(now, then, weight)
        self._add_groups(traces, now, then)
        for found, before, after in ((self.lost, now, then), (self.gained, then, now)):
            for row in np.flatnonzero(before.failing & ~after.failing)[: EXAMPLES - len(found)].tolist():
                reasons = tuple(sorted(before.reasons[row]))
                found.append(Example(traces.ids[row], traces.service[row], reasons, bool(after.baseline[row] >= 1)))

    def _add_reasons(self, now: Verdict, then: Verdict, weight: Floats) -> None:
        for row in np.flatnonzero(now.failing | then.failing).tolist():
            before, after = now.reasons[row], then.reasons[row]
            w = float(weight[row])
            for reason in before | after:
                change = self.reasons.setdefault(reason, Change())
                is_now, is_then = reason in before, reason in after
                change.now += w * is_now
                change.then += w * is_then
                change.gained += w * (is_then and not is_now)
                change.lost += w * (is_now and not is_then)

    def _add_groups(self, traces: Traces, now: Verdict, then: Verdict) -> None:
        rows: dict[tuple[str, str], list[int]] = {}
        for row, key in enumerate(zip(traces.service, traces.feature, strict=True)):
            rows.setdefault(key, []).append(row)
        for key, of in rows.items():
            known = key if key in self.groups or len(self.groups) < GROUPS else OTHERS
            group = self.groups.setdefault(known, Group())
            weight = traces.weight[of]
            group.traces += float(weight.sum())
            group.failing.add(now.failing[of].astype(float), then.failing[of].astype(float), weight)
            group.flagged.add(now.flagged[of], then.flagged[of], weight)
