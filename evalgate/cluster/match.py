"""Groups of a new run to the clusters that are known, by the traces that they share.

After MONIC (Spiliopoulou et al. 2006): a cluster lives on in the group that has most of it; what of it went elsewhere
is a split, and a group that took most of several merged them. Which group gets which id is solved for all at once
(Kuhn 1955), so that the order of groups does not matter. Only traces that both runs grouped can speak.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIVES_ON: Final = 0.5
"""A part of a cluster that goes to one group: at least so much of it moved, or it did not move as one."""
SPLITS: Final = 0.25
"""A part of a cluster that is enough to be told as a split."""
NOISE: Final = 0


class EventKind(StrEnum):
    """What happened to a cluster between two runs."""

    BORN = "born"
    SPLIT_FROM = "split_from"
    MERGED_INTO = "merged_into"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to `cluster_id`."""

    kind: EventKind
    cluster_id: int
    other_id: int = 0
    """Of a split, where it came from; of a merge, where it went."""
    share: float = 0.0
    """The part of the traces of the cluster that was there before which went this way."""


@dataclass(frozen=True, slots=True)
class Matched:
    """The id of each group, and what happened."""

    ids: tuple[int, ...]
    events: tuple[Event, ...]
    next_id: int


def match(groups: Sequence[int], before: Sequence[int], *, counts: Sequence[bool], next_id: int) -> Matched:
    """Give each group an id: that of the cluster that lives on in it, or the next.

    `groups`: of each trace its group, -1 for none; `before`: the cluster that the trace was in, 0 for none or unknown.
    `counts`: of each group whether the window has traces of it; one that has none is known again, not born.
    """
    old_ids = sorted({c for c in before if c != NOISE})
    n_groups, place = len(counts), {c: i for i, c in enumerate(old_ids)}
    shared = np.zeros((len(old_ids), n_groups))
    old_sizes, new_sizes = np.zeros(len(old_ids)), np.zeros(n_groups)
    for (g, c), n in Counter(zip(groups, before, strict=True)).items():
        if c != NOISE:
            old_sizes[place[c]] += n
        if g >= 0 and c != NOISE:
            shared[place[c], g] += n
            new_sizes[g] += n
    gone = shared / np.maximum(old_sizes, 1)[:, None]
    pairs = _assigned(shared / np.maximum(old_sizes[:, None] + new_sizes - shared, 1), gone)
    ids = [0] * n_groups
    events = []
    for g in range(n_groups):
        if g in pairs:
            ids[g] = old_ids[pairs[g]]
        elif counts[g]:
            ids[g], next_id = next_id, next_id + 1
            events.append(_birth(ids[g], g, gone, shared, old_ids))
    events += _merges(ids, pairs, gone, old_ids)
    return Matched(tuple(ids), tuple(events), next_id)


def _assigned(alike: np.ndarray, gone: np.ndarray) -> Mapping[int, int]:
    """Return the old cluster of each group that continues one."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - 0.2 s

    if not alike.size:
        return {}
    # Of a cluster that split in several, the largest part lives on: that is more than half of the largest other part.
    possible = gone >= SPLITS
    olds, groups = linear_sum_assignment(np.where(possible, alike, 0.0), maximize=True)
    return {int(g): int(o) for o, g in zip(olds, groups, strict=True) if possible[o, g]}


def _birth(own: int, g: int, gone: np.ndarray, shared: np.ndarray, old_ids: Sequence[int]) -> Event:
    if len(old_ids):
        source = int(shared[:, g].argmax())
        if gone[source, g] >= SPLITS:
            return Event(EventKind.SPLIT_FROM, own, old_ids[source], float(gone[source, g]))
    return Event(EventKind.BORN, own)


def _merges(ids: Sequence[int], pairs: Mapping[int, int], gone: np.ndarray, old_ids: Sequence[int]) -> list[Event]:
    """Return the clusters that ended inside a group which has another id."""
    alive = set(pairs.values())
    found = []
    for o, old in enumerate(old_ids):
        if o in alive or not gone.shape[1]:
            continue
        into = int(gone[o].argmax())
        if gone[o, into] >= LIVES_ON and ids[into]:
            found.append(Event(EventKind.MERGED_INTO, old, ids[into], float(gone[o, into])))
    return found
