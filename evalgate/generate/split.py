"""Training, validation and an untouched test: by cluster, stratified by label, the same each time.

Kept beside the evaluator's measurements, so that whoever measures it later knows what it was made from:

    {"schema": "evalgate/split/1", "failure_mode": "...", "data_version": "...",
     "parts": {"train": {"<case id>": "<hash of question and answer>"...}, "validation": {...}, "test": {...}}}

A case keeps its part when labels are added: what was trained on never becomes test. Another case of the same id, of
another dataset, is another case.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from evalgate.align.labelled import seen_hash
from evalgate.generate.examples import Example, clusters_of, data_version
from schema.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = "evalgate/split/1"

Seen: TypeAlias = tuple[str, str]
"""Id and `seen_hash` of a case."""


class Part(StrEnum):
    """What a case is for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


SHARES: Mapping[Part, float] = {Part.TRAIN: 0.15, Part.VALIDATION: 0.40, Part.TEST: 0.45}
"""A judge is told a few examples and chosen by many; as much again is left to measure it by."""


@dataclass(frozen=True, slots=True)
class Split:
    """Examples by part, each part by case id."""

    failure_mode: str
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def search(self) -> tuple[Example, ...]:
        """Everything but the test: rules are searched by cross-validation over all of it."""
        return tuple(sorted((*self.train, *self.validation), key=lambda e: e.case.case_id))

    def part(self, part: Part) -> tuple[Example, ...]:
        """Return the examples of one part."""
        return {Part.TRAIN: self.train, Part.VALIDATION: self.validation, Part.TEST: self.test}[part]


def split_examples(
    failure_mode: str, examples: Sequence[Example], *, known: Mapping[Seen, Part] | None = None, seed: int = 0
) -> Split:
    """Divide the examples by SHARES within each class, clusters whole.

    Clusters are dealt in an order drawn from their content, large ones first, each to the part that lacks its labels
    most. `known`: parts of an earlier split; a cluster goes where most of its known cases are, to training when some
    were trained on.
    """
    totals = (sum(e.bad for e in examples), sum(not e.bad for e in examples))
    have: dict[Part, list[int]] = {p: [0, 0] for p in Part}
    chosen: dict[Part, list[Example]] = {p: [] for p in Part}
    groups = [[examples[i] for i in places] for places in clusters_of(examples).values()]
    groups.sort(key=lambda g: (_known_part(g, known or {}) is None, -len(g), _lot(seed, failure_mode, g)))
    for group in groups:
        counts = (sum(e.bad for e in group), sum(not e.bad for e in group))
        part = _known_part(group, known or {}) or max(Part, key=lambda p: _need(p, have[p], totals, counts))
        chosen[part].extend(group)
        for label, count in enumerate(counts):
            have[part][label] += count
    ordered = {p: tuple(sorted(chosen[p], key=lambda e: e.case.case_id)) for p in Part}
    return Split(failure_mode, ordered[Part.TRAIN], ordered[Part.VALIDATION], ordered[Part.TEST])


def split_to_json(split: Split) -> dict[str, Any]:
    """Return the JSON object of a split."""
    everything = (*split.train, *split.validation, *split.test)
    return {
        "schema": SCHEMA,
        "failure_mode": split.failure_mode,
        "data_version": data_version(everything),
        "parts": {str(p): {c.case_id: seen_hash(c) for e in split.part(p) for c in (e.case, *e.twins)} for p in Part},
    }


def parse_parts(value: Any) -> dict[Seen, Part]:
    """Read which case of an earlier split was for what.

    Raises:
        ValueError: in words for the person who edited the file.

    """
    fields = Fields(value, "a split")
    if (spoken := fields.any("schema")) != SCHEMA:
        raise ValueError(f"its schema is {spoken!r}, not {SCHEMA!r}")
    fields.text("failure_mode")
    fields.text("data_version")
    parts = Fields(fields.mapping("parts"), "parts")
    found = {(i, str(seen)): part for part in Part for i, seen in parts.mapping(str(part)).items()}
    parts.close()
    fields.close()
    return found


def _known_part(group: Sequence[Example], known: Mapping[Seen, Part]) -> Part | None:
    seen = ((c.case_id, seen_hash(c)) for e in group for c in (e.case, *e.twins))
    parts = {known[s] for s in seen if s in known}
    return next((p for p in Part if p in parts), None)  # training first: a cluster that was trained on is no test


def _need(part: Part, have: Sequence[int], totals: Sequence[int], counts: Sequence[int]) -> float:
    """Return how much of what the part still lacks a cluster would bring; shares decide between equals."""
    need = 0.0
    for label in (0, 1):
        if totals[label] and counts[label]:
            need += counts[label] * (SHARES[part] - have[label] / totals[label]) / SHARES[part]
    return need + SHARES[part] / 1e6


def _lot(seed: int, failure_mode: str, group: Sequence[Example]) -> str:
    ids = ",".join(sorted(e.case.case_id for e in group))
    return hashlib.sha256(f"{seed}:{failure_mode}:{ids}".encode()).hexdigest()
