"""What evaluators are generated from: cases that people labelled, bad ones of one failure mode against good ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from evalgate.align.clusters import cluster
from evalgate.align.labelled import Labelled
from evalgate.align.usable import said
from schema.hashing import short_hash
from schema.run import observed_output
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from schema.case import Case
    from schema.run import Output


@dataclass(frozen=True, slots=True)
class Example(Labelled):
    """A labelled case of a failure mode, good or bad, that an evaluator is made from or tested on."""

    cluster: str
    """Examples of one cluster are not independent: they are never torn between training and test."""
    comment: str = ""
    """The annotator's reason."""
    twins: tuple[Case, ...] = ()
    """Other cases of the same question and answer, labelled alike."""

    @property
    def bad(self) -> bool:
        """Whether a person found this failure mode in it."""
        return self.label is Verdict.BAD

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Its own id first, then those of its twins."""
        return (self.case.case_id, *(c.case_id for c in self.twins))


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of one failure mode, by case id, and what could not be used."""

    failure_mode: str
    items: tuple[Example, ...]
    left_out: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Reason to number of cases."""

    @property
    def bad(self) -> int:
        """How many show the failure."""
        return sum(e.bad for e in self.items)

    @property
    def good(self) -> int:
        """How many do not."""
        return len(self.items) - self.bad

    @property
    def data_version(self) -> str:
        """Hash of what was judged and of the labels; the order does not matter."""
        return data_version(self.items)


def data_version(examples: Iterable[Example]) -> str:
    """Return the hash of cases with their labels and outputs."""
    return short_hash(sorted((e.case.case_id, e.case.content_hash, e.output.text, e.bad) for e in examples))


def choose_examples(
    cases: Iterable[Case],
    failure_mode: str,
    *,
    comments: Mapping[str, str] = MappingProxyType({}),
    other_modes: bool = False,
) -> Examples:
    """Return the examples of a failure mode: its bad cases, and the good ones.

    Partial verdicts stay out, and so do bad cases of other modes unless `other_modes` takes them as good ones. The same
    answer to the same question that is labelled both ways says nothing and stays out; labelled alike many times, it is
    one example: the first. `comments`: case id to reason.
    """
    left_out: Counter[str] = Counter()
    kept: list[tuple[Case, Output, bool]] = []
    for case in sorted(cases, key=lambda c: c.case_id):
        output = observed_output(case)
        if case.verdict is None:
            left_out["no verdict"] += 1
        elif case.verdict is Verdict.PARTIAL:
            left_out["partial"] += 1
        elif output is None:
            left_out["nothing observed"] += 1
        elif case.verdict is Verdict.GOOD:
            kept.append((case, output, False))
        elif case.failure_mode == failure_mode:
            kept.append((case, output, True))
        elif other_modes:
            kept.append((case, output, False))
        else:
            left_out["another failure mode"] += 1
    labels: dict[tuple[str | None, str, str], set[bool]] = {}
    for case, output, bad in kept:
        labels.setdefault(said(case, output), set()).add(bad)
    agreed = [k for k in kept if len(labels[said(k[0], k[1])]) == 1]
    left_out["labelled both ways"] = len(kept) - len(agreed)
    same: dict[tuple[str | None, str, str], list[tuple[Case, Output, bool]]] = {}
    for each in agreed:
        same.setdefault(said(each[0], each[1]), []).append(each)
    left_out["the same as another"] = len(agreed) - len(same)
    names = cluster([group[0][0] for group in same.values()])
    items = tuple(
        Example(
            case,
            output,
            Verdict.BAD if bad else Verdict.GOOD,
            name,
            comments.get(case.case_id, ""),
            tuple(t[0] for t in twins),
        )
        for ((case, output, bad), *twins), name in zip(same.values(), names, strict=True)
    )
    return Examples(failure_mode, items, MappingProxyType({k: n for k, n in left_out.items() if n}))


def modes_of(cases: Iterable[Case]) -> list[tuple[str, int]]:
    """Return the failure modes that cases were labelled with, the frequent ones first."""
    count = Counter(c.failure_mode for c in cases if c.verdict is Verdict.BAD and c.failure_mode)
    return sorted(count.items(), key=lambda item: (-item[1], item[0]))


def clusters_of(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return cluster to the places of its examples."""
    found: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        found.setdefault(example.cluster, []).append(place)
    return found
