"""A measurement of an evaluator: one line of `evals/alignment/<evaluator>.jsonl`.

{"evaluator", "version", "data_version", "split", "at", "confusion": {"tp", "fp", "fn", "tn", "partial_passed",
 "partial_failed", "errors"}, "model", "self_consistency", "order_flip_rate", "injection_flip_rate", "cost_usd",
 "labelled_until", "left_out", "clusters"}
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from schema.alignment.confusion import Confusion
from schema.fields import Fields, Malformed


class Split(StrEnum):
    """Which cases were measured."""

    TEST = "test"
    """Those that generation set apart and never looked at."""
    ALL = "all"
    """Every labelled case that the evaluator was not made from."""
    NEW = "new"
    """Those labelled since the measurement before."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One evaluator version on one version of the labelled cases."""

    evaluator: str
    version: str
    data_version: str
    split: Split
    at: str
    """ISO 8601, UTC."""
    confusion: Confusion
    model: str | None = None
    """The judge's; None for rules and code."""
    self_consistency: float | None = None
    """Mean share of repeated verdicts on one example that agree with the example's majority."""
    order_flip_rate: float | None = None
    """Share of examples whose verdict changes when original and new answer change places."""
    injection_flip_rate: float | None = None
    """Share of examples whose verdict changes when the output asks the judge for it."""
    cost_usd: float | None = None
    """What the judge's calls of this measurement cost; None: nothing, or not known."""
    labelled_until: str | None = None
    """The newest label that the evaluator's measurements have seen; ISO 8601, UTC. Later labels are new ones."""
    left_out: int = 0
    """Cases left out because the evaluator was made from them."""
    clusters: int | None = None
    """Sessions and (nearly) equal questions that the cases of the matrix come from; None: not counted."""

    @property
    def weight(self) -> float:
        """What a label counts: those of one session or question count as one, since a mistake comes again in it."""
        n = self.confusion.n
        return self.clusters / n if self.clusters and self.clusters < n else 1.0


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """Return the JSON object of a measurement."""
    return asdict(measurement)


def parse_measurement(value: Any) -> Measurement:
    """Read a measurement.

    Raises:
        ValueError: in words for who reads the file.

    """
    fields = Fields(value, "a measurement")
    counts = Fields(fields.mapping("confusion"), "confusion")
    names = ("tp", "fp", "fn", "tn", "partial_passed", "partial_failed", "errors")
    confusion = Confusion(*(_count(counts, name) for name in names))
    counts.close()
    split = fields.text("split")
    if split not in list(Split):
        raise Malformed(f"a measurement: 'split' must be test, all or new, not {split!r}")
    measurement = Measurement(
        evaluator=fields.text("evaluator"),
        version=fields.text("version"),
        data_version=fields.text("data_version"),
        split=Split(split),
        at=fields.text("at"),
        confusion=confusion,
        model=fields.optional_text("model"),
        self_consistency=_share(fields, "self_consistency"),
        order_flip_rate=_share(fields, "order_flip_rate"),
        injection_flip_rate=_share(fields, "injection_flip_rate"),
        cost_usd=fields.optional_number("cost_usd"),
        labelled_until=fields.optional_moment("labelled_until"),
        left_out=_count(fields, "left_out"),
        clusters=_count(fields, "clusters") or None,
    )
    fields.close()
    return measurement


def _count(fields: Fields, name: str) -> int:
    count = fields.optional_int(name) or 0
    if not 0 <= count < 1 << 53:
        raise Malformed(f"a measurement: {name!r} must be a count, not {count}")
    return count


def _share(fields: Fields, name: str) -> float | None:
    share = fields.optional_number(name)
    if share is not None and not 0 <= share <= 1:
        raise Malformed(f"a measurement: {name!r} must be between 0 and 1, not {share}")
    return share
