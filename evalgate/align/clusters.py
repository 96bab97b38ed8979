"""Which cases belong together: one session, one trace, the same question but for its numbers, or nearly the same.

A question that stands in training and, slightly changed, in the test makes any evaluator look better than it is; ten
labels of what is nearly one question say little more of it than one does.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from schema.hashing import short_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schema.case import Case

SAME_RATIO = 90.0
"""Of 100: questions as alike as this are one template. Two letters of twenty may differ."""
MAX_COMPARED = 2_000
"""Questions compared in pairs; beyond that only equal ones are found. 2 000 take half a second."""
MAX_CHARS = 2_000
"""How much of a question is compared."""


def cluster(cases: Sequence[Case]) -> list[str]:
    """Return the name of the cluster of each case; the order of the cases does not matter.

    Where fewer than a tenth of the cases would be left as clusters, near-duplicates are the nature of the questions
    ("refund order 1047") and only sessions, traces and equal questions are kept together.
    """
    near = _joined(cases, near=True)
    if len(cases) and len(set(near)) < max(6, len(cases) / 10):
        return _joined(cases, near=False)
    return near


def _joined(cases: Sequence[Case], *, near: bool) -> list[str]:
    parents = list(range(len(cases)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, case in enumerate(cases):
        for key in _keys(case, near=near):
            other = first.setdefault(key, place)
            parents[root(place)] = root(other)
    if near:
        for left, right in _near_pairs([_template(c) for c in cases]):
            parents[root(left)] = root(right)
    members: dict[int, list[str]] = {}
    for place, case in enumerate(cases):
        members.setdefault(root(place), []).append(case.case_id)
    return [short_hash(sorted(members[root(place)])) for place in range(len(cases))]


def _keys(case: Case, *, near: bool) -> Iterator[tuple[str, str]]:
    if case.cluster:
        yield "cluster", case.cluster
    if case.provenance.trace_id:
        yield "trace", case.provenance.trace_id
    if case.input.text and case.input.text.strip():
        yield ("template", _template(case)) if near else ("question", case.input.text.strip())


def _template(case: Case) -> str:
    """Return the question without what varies: case, white space, digits."""
    return re.sub(r"\d+", "0", " ".join((case.input.text or "").casefold().split()))[:MAX_CHARS]


def _near_pairs(templates: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield pairs of questions that are nearly the same. Short ones are compared as they are: "yes" is not "yet"."""
    counted = Counter(t for t in templates if len(t) >= 12)
    distinct = sorted(counted)
    if not 1 < len(distinct) <= MAX_COMPARED:
        return
    import numpy as np  # noqa: PLC0415 - 0.1 s; a gate has no need of it
    from rapidfuzz.fuzz import ratio  # noqa: PLC0415
    from rapidfuzz.process import cdist  # noqa: PLC0415

    place = {t: templates.index(t) for t in distinct}
    alike = cdist(distinct, distinct, scorer=ratio, score_cutoff=SAME_RATIO)
    for left, right in zip(*np.nonzero(np.triu(alike, 1)), strict=True):
        yield place[distinct[int(left)]], place[distinct[int(right)]]
