"""Alignment: how far an evaluator agrees with people, and what it may therefore do to a release.

Positive is the failure: a person said bad and the evaluator says fail is a true positive. Partial verdicts and errors
stand beside the matrix. One measurement is one line of `evals/alignment/<evaluator>.jsonl`:

    {"evaluator", "version", "data_version", "split", "at", "confusion": {"tp", "fp", "fn", "tn", "partial_passed",
     "partial_failed", "errors"}, "model", "self_consistency", "order_flip_rate", "injection_flip_rate", "cost_usd",
     "labelled_until", "left_out"}
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from schema.fields import Fields, Malformed
from schema.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL: Final = 0.95
DROP_LEVEL: Final = 0.99
"""Of the alarm: agreement is looked at again and again, and each look may be wrong."""
GRID: Final = 2000
"""Points of a rate's distribution: its quantiles agree with scipy's to 0.00002."""
QUANTILES: Final = 240
"""Of each rate; MCC is looked at in every pair of them."""
MOST_LABELS: Final = 20_000
"""Nobody is told to label more than so many."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of cases by what people said and what the evaluator said."""

    tp: int
    fp: int
    fn: int
    tn: int
    partial_passed: int = 0
    partial_failed: int = 0
    errors: int = 0

    @property
    def n(self) -> int:
        """Cases in the matrix: without partial ones and errors."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def positives(self) -> int:
        """Cases that people call bad."""
        return self.tp + self.fn

    @property
    def negatives(self) -> int:
        """Cases that people call good."""
        return self.tn + self.fp

    @property
    def mcc(self) -> float | None:
        """Matthews correlation; None where a row or a column of the matrix is empty: it is undefined, not 0."""
        margins = self.positives * self.negatives * (self.tp + self.fp) * (self.tn + self.fn)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(margins) if margins else None

    @property
    def tpr(self) -> float | None:
        """Share of the bad ones that the evaluator catches."""
        return self.tp / self.positives if self.positives else None

    @property
    def tnr(self) -> float | None:
        """Share of the good ones that the evaluator lets pass."""
        return self.tn / self.negatives if self.negatives else None

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of TPR and TNR."""
        return (self.tpr + self.tnr) / 2 if self.tpr is not None and self.tnr is not None else None

    @property
    def tpr_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval."""
        return wilson_interval(self.tp, self.positives)

    @property
    def tnr_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval."""
        return wilson_interval(self.tn, self.negatives)

    def mcc_interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Return a two-sided interval of MCC at the labels' share of bad ones; None where a class has no label.

        As with shares, nothing seen to the contrary leaves an end open: of a perfect table the upper one is 1.
        """
        tail = (1 - level) / 2
        found = mcc_quantiles(self.tp, self.fn, self.tn, self.fp, (tail, 1 - tail))
        if found is None:
            return None
        low, high = found
        return (low if self.tp or self.tn else -1.0), (high if self.fp or self.fn else 1.0)

    def mcc_lower_bound(self, level: float = LEVEL) -> float | None:
        """Return the one-sided lower bound of MCC; the interval of twice the tail has it, too."""
        interval = self.mcc_interval(2 * level - 1)
        return interval[0] if interval else None


def mcc_quantiles(
    tp: float, fn: float, tn: float, fp: float, at: Sequence[float], *, share: float | None = None
) -> list[float] | None:
    """Return quantiles of what MCC may be, given these counts; None where a class has none.

    TPR ~ Beta(tp + ½, fn + ½) and TNR ~ Beta(tn + ½, fp + ½), Jeffreys' prior, independent; `share`: of bad ones, by
    default that of the labels. So a perfect table of ten is no certainty: its 95 % lower bound is 0.57. How often the
    bound holds is in docs/alignment.md; bench/alignment.py counts it. No randomness: quantiles of both rates, each
    pair of them.
    """
    import numpy as np  # noqa: PLC0415 - 0.1 s, and most who read measurements need no bound

    positives, negatives = tp + fn, tn + fp
    if positives <= 0 or negatives <= 0:
        return None
    share = positives / (positives + negatives) if share is None else share
    tpr = _beta_quantiles(tp, fn)[:, None]
    fpr = 1 - _beta_quantiles(tn, fp)[None, :]
    flagged = share * tpr + (1 - share) * fpr
    mcc = (tpr - fpr) * np.sqrt(share * (1 - share) / (flagged * (1 - flagged)))
    return [float(x) for x in np.quantile(mcc, list(at))]


def _beta_quantiles(successes: float, failures: float) -> Floats:
    """Return QUANTILES midpoints of Beta(successes + ½, failures + ½), rising.

    In the angle θ, where the rate is sin²θ, that density is sin^(2·successes) θ · cos^(2·failures) θ: bounded at both
    ends, which a sum over a grid needs.
    """
    import numpy as np  # noqa: PLC0415 - as above

    edges = np.linspace(0.0, math.pi / 2, GRID + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    log_density = 2 * successes * np.log(np.sin(middles)) + 2 * failures * np.log(np.cos(middles))
    density = np.exp(log_density - log_density.max())
    below = np.concatenate(([0.0], np.cumsum(density))) / density.sum()
    ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES
    angles = np.interp(ranks, below, edges)
    return np.asarray(np.sin(angles) ** 2, np.float64)


def mcc_at(tpr: float, tnr: float, share: float) -> float | None:
    """Return the MCC of these rates where `share` of the cases is bad; None where it is undefined."""
    flagged = share * tpr + (1 - share) * (1 - tnr)
    spread = flagged * (1 - flagged)
    return (tpr + tnr - 1) * math.sqrt(share * (1 - share) / spread) if spread > 0 else None


@dataclass(frozen=True, slots=True)
class Drop:
    """Agreement on new labels against that on earlier ones."""

    earlier_mcc: float
    new_mcc: float
    """At the earlier labels' share of bad ones: MCC moves with that share, also where the evaluator does not."""
    new_n: int
    probability: float
    """That the evaluator agrees less on cases like the new ones."""
    is_alarm: bool


def drop_of(earlier: Confusion, new: Confusion, level: float = DROP_LEVEL) -> Drop | None:
    """Compare two matrices of different cases; None where either says nothing of a class.

    It is an alarm where MCC is lower with a probability of at least `level`: what chance explains is none.
    """
    if not (earlier.positives and earlier.negatives and new.positives and new.negatives):
        return None
    share = earlier.positives / earlier.n
    ranks = [(i + 0.5) / QUANTILES for i in range(QUANTILES)]
    before = mcc_quantiles(earlier.tp, earlier.fn, earlier.tn, earlier.fp, ranks)
    after = mcc_quantiles(new.tp, new.fn, new.tn, new.fp, ranks, share=share)
    if before is None or after is None:
        return None
    lower = sum(bisect_left(after, x) for x in before) / QUANTILES**2
    was = earlier.mcc or 0.0  # the same verdict of every case: worth as much as a coin
    now = mcc_at(new.tpr or 0.0, new.tnr or 0.0, share) or 0.0
    return Drop(was, now, new.n, lower, is_alarm=now < was and lower >= level)


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
        labelled_until=fields.optional_text("labelled_until"),
        left_out=_count(fields, "left_out"),
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


class Permission(StrEnum):
    """What an evaluator may do to a release."""

    BLOCK = "block"
    MONITOR = "monitor"
    """It is run and told, and stops nothing."""
    SKIP = "skip"
    """It is not used."""


class Reason(StrEnum):
    """Why an evaluator has its permission."""

    HAND_WRITTEN = "hand_written"
    """Deterministic and written by a person: it is policy, and needs no measurement."""
    MEASURED = "measured"
    LOW_MCC = "low_mcc"
    TOO_FEW_LABELS = "too_few_labels"
    UNDEFINED_MCC = "undefined_mcc"
    """A class has no label, or the evaluator says the same of every case."""
    NOT_MEASURED = "not_measured"


class PermissionRule(StrEnum):
    """What is compared with the limits."""

    LOWER_BOUND = "lower_bound"
    """To block, the one-sided lower bound of MCC and enough labels of each class; to be skipped, MCC itself."""
    POINT = "point"
    """MCC itself, however few the labels."""


@dataclass(frozen=True, slots=True)
class PermissionPolicy:
    """What permission asks for."""

    rule: PermissionRule = PermissionRule.LOWER_BOUND
    block_at: float = 0.6
    """It may block at or above."""
    monitor_at: float = 0.4
    """It is skipped below."""
    min_labels: int = 20
    min_per_class: int = 5
    level: float = LEVEL
    """Of the one-sided bound."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission of one evaluator, and what it rests on."""

    permission: Permission
    reason: Reason
    mcc: float | None = None
    low: float | None = None
    """One-sided lower bound, at the policy's level."""
    high: float | None = None
    """Upper end of the two-sided interval of twice the tail, so that `low` and `high` are one 90 % interval."""
    n: int = 0
    further_labels: int | None = None
    """Labels that would give it permission if it went on agreeing as it does; None: none are missing, or no number
    would do."""


DEFAULT_POLICY: Final = PermissionPolicy()


def grant(
    measurement: Measurement | None,
    *,
    deterministic_by_hand: bool,
    mcc_score: float | None = None,
    policy: PermissionPolicy = DEFAULT_POLICY,
) -> Grant:
    """Return what an evaluator may do.

    `measurement` is the latest of this version of the evaluator. `mcc_score`, which the evaluator's file states of
    itself, can lower a permission and never grants one.
    """
    earned = _by_hand(measurement, policy) if deterministic_by_hand else _earned(measurement, policy)
    if mcc_score is None or mcc_score >= policy.block_at:
        return earned
    if mcc_score < policy.monitor_at:
        stated = Permission.SKIP
    elif earned.permission is Permission.BLOCK:
        stated = Permission.MONITOR
    else:
        return earned
    if earned.permission is Permission.SKIP:
        return earned
    return Grant(stated, Reason.LOW_MCC, earned.mcc, earned.low, earned.high, earned.n)


def _by_hand(measurement: Measurement | None, policy: PermissionPolicy) -> Grant:
    if measurement is None:
        return Grant(Permission.BLOCK, Reason.HAND_WRITTEN)
    low, high = _bounds(measurement.confusion, policy)
    found = measurement.confusion
    return Grant(Permission.BLOCK, Reason.HAND_WRITTEN, found.mcc, low, high, found.n)


def _earned(measurement: Measurement | None, policy: PermissionPolicy) -> Grant:
    if measurement is None:
        return Grant(Permission.MONITOR, Reason.NOT_MEASURED, further_labels=policy.min_labels)
    found = measurement.confusion
    low, high = _bounds(found, policy)

    def answer(permission: Permission, reason: Reason, further: int | None = None) -> Grant:
        return Grant(permission, reason, found.mcc, low, high, found.n, further)

    if found.mcc is None:
        if found.positives and found.negatives:  # it says the same of every case: an always-pass is worth nothing
            return answer(Permission.SKIP, Reason.UNDEFINED_MCC)
        return answer(Permission.MONITOR, Reason.UNDEFINED_MCC, further_labels(found, policy))
    if found.mcc < policy.monitor_at:
        return answer(Permission.SKIP, Reason.LOW_MCC)
    if policy.rule is PermissionRule.POINT:
        enough = found.mcc >= policy.block_at
        return answer(*((Permission.BLOCK, Reason.MEASURED) if enough else (Permission.MONITOR, Reason.LOW_MCC)))
    if found.mcc < policy.block_at:
        return answer(Permission.MONITOR, Reason.LOW_MCC)
    enough = found.n >= policy.min_labels and min(found.positives, found.negatives) >= policy.min_per_class
    if enough and low is not None and low >= policy.block_at:
        return answer(Permission.BLOCK, Reason.MEASURED)
    return answer(Permission.MONITOR, Reason.TOO_FEW_LABELS, further_labels(found, policy))


def _bounds(found: Confusion, policy: PermissionPolicy) -> tuple[float | None, float | None]:
    return found.mcc_interval(2 * policy.level - 1) or (None, None)


def further_labels(found: Confusion, policy: PermissionPolicy = DEFAULT_POLICY) -> int | None:
    """Return how many more labels would let the evaluator block, by the lower-bound rule; 0: none, None: no number.

    It is taken to go on as it did, with the same shares of bad ones, TPR and TNR. Where a class has no label, it is
    the least that the policy asks for.
    """
    if not found.positives or not found.negatives:
        lacking = max(0, policy.min_per_class - found.positives) + max(0, policy.min_per_class - found.negatives)
        return max(policy.min_labels - found.n, lacking)
    if found.mcc is None or found.mcc < policy.block_at:
        return None

    def is_enough(n: int) -> bool:
        grown = n / found.n
        fewest = min(found.positives, found.negatives) * grown
        if n < policy.min_labels or fewest < policy.min_per_class - 1e-9:
            return False
        ends = mcc_quantiles(
            found.tp * grown, found.fn * grown, found.tn * grown, found.fp * grown, (1 - policy.level,)
        )
        return ends is not None and ends[0] >= policy.block_at

    low, high = found.n, found.n
    if is_enough(low):
        return 0
    while not is_enough(high):
        low, high = high, high * 2
        if high > MOST_LABELS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high - found.n
