"""What an evaluator may do to a release, by its agreement with people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from schema.alignment.confusion import LEVEL

if TYPE_CHECKING:
    from schema.alignment.confusion import Confusion
    from schema.alignment.measurement import Measurement

ROUNDING: Final = 1e-9
"""20 of 30 labels that count two thirds each are 20."""
MOST_LABELS: Final = 20_000
"""Nobody is told to label more than so many."""


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
    low, high = _bounds(measurement, policy)
    found = measurement.confusion
    return Grant(Permission.BLOCK, Reason.HAND_WRITTEN, found.mcc, low, high, found.n)


def _earned(measurement: Measurement | None, policy: PermissionPolicy) -> Grant:
    if measurement is None:
        return Grant(Permission.MONITOR, Reason.NOT_MEASURED, further_labels=policy.min_labels)
    found, weight = measurement.confusion, measurement.weight
    low, high = _bounds(measurement, policy)

    def answer(permission: Permission, reason: Reason, further: int | None = None) -> Grant:
        return Grant(permission, reason, found.mcc, low, high, found.n, further)

    if found.mcc is None:
        if found.positives and found.negatives:  # it says the same of every case: an always-pass is worth nothing
            return answer(Permission.SKIP, Reason.UNDEFINED_MCC)
        return answer(Permission.MONITOR, Reason.UNDEFINED_MCC, further_labels(found, policy, weight))
    if found.mcc < policy.monitor_at:
        return answer(Permission.SKIP, Reason.LOW_MCC)
    if policy.rule is PermissionRule.POINT:
        enough = found.mcc >= policy.block_at
        return answer(*((Permission.BLOCK, Reason.MEASURED) if enough else (Permission.MONITOR, Reason.LOW_MCC)))
    if found.mcc < policy.block_at:
        return answer(Permission.MONITOR, Reason.LOW_MCC)
    fewest = min(found.positives, found.negatives) * weight
    enough = found.n * weight >= policy.min_labels - ROUNDING and fewest >= policy.min_per_class - ROUNDING
    if enough and low is not None and low >= policy.block_at:
        return answer(Permission.BLOCK, Reason.MEASURED)
    return answer(Permission.MONITOR, Reason.TOO_FEW_LABELS, further_labels(found, policy, weight))


def _bounds(measurement: Measurement, policy: PermissionPolicy) -> tuple[float | None, float | None]:
    return measurement.confusion.mcc_interval(2 * policy.level - 1, measurement.weight) or (None, None)


def further_labels(found: Confusion, policy: PermissionPolicy = DEFAULT_POLICY, weight: float = 1.0) -> int | None:
    """Return how many more labels would let the evaluator block, by the lower-bound rule; 0: none, None: no number.

    It is taken to go on as it did, with the same shares of bad ones, TPR and TNR, and of labels to a session. Where a
    class has no label, it is the least that the policy asks for.
    """
    if not found.positives or not found.negatives:
        lacking = max(0, policy.min_per_class - found.positives) + max(0, policy.min_per_class - found.negatives)
        return max(policy.min_labels - found.n, lacking)
    if found.mcc is None or found.mcc < policy.block_at:
        return None

    def is_enough(n: int) -> bool:
        grown = weight * n / found.n
        fewest = min(found.positives, found.negatives) * grown
        if weight * n < policy.min_labels - ROUNDING or fewest < policy.min_per_class - ROUNDING:
            return False
        low = found.mcc_lower_bound(policy.level, grown)
        return low is not None and low >= policy.block_at

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
