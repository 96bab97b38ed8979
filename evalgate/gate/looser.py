"""What one policy asks less than another: in words for people, setting by setting. More is no loosening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.gate.policy import Inconclusive, MustNotBreak, RateRule
from schema.alignment import PermissionRule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.gate.policy import GatePolicy, GroupPolicy

MORE_IS_LOOSER: Final = ("allow_errors", "allow_set_aside", "allow_changed", "min_effect", "max_flaky")
LESS_IS_LOOSER: Final = ("threshold", "alpha")
PERMISSION: Final = ("block_at", "min_labels", "min_per_class", "level")
"""The more is asked of an evaluator before it may block, the fewer block."""
TRAJECTORY: Final = ("steps", "order", "cost", "latency")
ORDERS: Final[Mapping[str, Sequence[Any]]] = {
    "rate_rule": (RateRule.POINT, RateRule.INTERVAL),
    "must_not_break": (MustNotBreak.ALL, MustNotBreak.NAMED, MustNotBreak.NONE),
    "inconclusive": (Inconclusive.FAIL, Inconclusive.WARN),
}
"""The strict one first. An interval around a threshold is inconclusive where the plain rate fails."""
NAMED: Final = ("must_not_break_cases", "must_not_break_modes", "integrity")


@dataclass(frozen=True, slots=True)
class Looser:
    """One setting that asks less."""

    setting: str
    now: str
    then: str

    @property
    def words(self) -> str:
        """Return "min_effect 1 (was 0.02)"."""
        return f"{self.setting} {self.now} (was {self.then})"


def looser(then: GatePolicy, now: GatePolicy) -> tuple[Looser, ...]:
    """Return what `now` asks less than `then`; both are policies of one dataset."""
    found = [Looser(n, _text(b), _text(a)) for n, a, b in _numbers(then, now) if a != b]
    for name, order in ORDERS.items():
        a, b = getattr(then, name), getattr(now, name)
        if order.index(b) > order.index(a):
            found.append(Looser(name, _text(b), _text(a)))
    for name in NAMED:
        a, b = getattr(then, name), getattr(now, name)
        if set(a) - set(b) and not (name != "integrity" and now.must_not_break is MustNotBreak.ALL):
            found.append(Looser(name, _text(b), _text(a)))
    if now.primary and set(then.primary or ("all",)) - set(now.primary):
        found.append(Looser("primary", _text(now.primary), _text(then.primary)))
    if (then.permission.rule, now.permission.rule) == (PermissionRule.POINT, PermissionRule.LOWER_BOUND):
        found.append(Looser("permission.rule", now.permission.rule, then.permission.rule))
    return (*found, *_groups(then.groups, now.groups))


def _numbers(then: GatePolicy, now: GatePolicy) -> list[tuple[str, float | None, float | None]]:
    """Return name, then and now of each number; the same one twice where it is not looser."""
    rows: list[tuple[str, float | None, float | None, int]] = [
        *((n, getattr(then, n), getattr(now, n), 1) for n in MORE_IS_LOOSER),
        *((n, getattr(then, n), getattr(now, n), -1) for n in LESS_IS_LOOSER),
        ("margin", then.margin, now.margin, 1),
        *((f"permission.{n}", getattr(then.permission, n), getattr(now.permission, n), 1) for n in PERMISSION),
        *((f"trajectory.{n}", getattr(then.trajectory, n), getattr(now.trajectory, n), 1) for n in TRAJECTORY),
    ]
    return [(n, a, b if _is_looser(a, b, sign) else a) for n, a, b, sign in rows]


def _is_looser(then: float | None, now: float | None, sign: int) -> bool:
    """Return whether the number asks less; none sets no limit."""
    if then is None or now is None:
        return now is None and then is not None
    return sign * now > sign * then


def _groups(then: Sequence[GroupPolicy], now: Sequence[GroupPolicy]) -> list[Looser]:
    kept = {g.name: g for g in now}
    found = []
    for group in then:
        mine, name = kept.get(group.name), f"group {group.name}"
        if mine is None:
            found.append(Looser(name, "none", f"{group.threshold:g}"))
        elif mine.threshold < group.threshold:
            found.append(Looser(name, f"{mine.threshold:g}", f"{group.threshold:g}"))
        elif mine.min_cases < group.min_cases:
            found.append(Looser(f"{name} min_cases", f"{mine.min_cases}", f"{group.min_cases}"))
    return found


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case float():
            return f"{value:g}"
        case tuple():
            return "[" + ", ".join(str(v) for v in value) + "]"
        case _:
            return str(value)
