"""The rate of each span under a policy: columnar, and the same as SQL."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from schema.condition import Condition, parse_condition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from schema.batch import SpanBatch
    from schema.policy.sample import SamplePolicy

    Raised = Mapping[tuple[str, str], float]
    """(tenant, name of a rule or "") -> the rate that is in use there, where it is above what is set."""

NONE: Final[Raised] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stratum:
    """The spans of one rule, or of none."""

    name: str
    """Of the rule; "" for the spans for which none holds."""
    rate: float
    """As it is set."""
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class Rates:
    """A sampling policy made ready: its conditions are parsed."""

    strata: tuple[Stratum, ...]
    """First that of no rule, then those of rules by rate: of two that hold for a span, the later one counts."""

    @classmethod
    def of(cls, policy: SamplePolicy) -> Rates:
        """Make a policy ready. Of two rules of the same rate the one that is named first counts."""
        rules = [Stratum(rule.name, rule.rate, parse_condition(rule.when)) for rule in reversed(policy.rules)]
        return cls((Stratum("", policy.baseline_rate, None), *sorted(rules, key=lambda s: s.rate)))

    def which(self, batch: SpanBatch) -> NDArray[np.intp]:
        """Return for each span the index of its stratum."""
        found = np.zeros(len(batch), np.intp)
        for index, stratum in enumerate(self.strata):
            if stratum.condition is not None:
                found[stratum.condition.mask(batch)] = index
        return found

    def of_batch(self, batch: SpanBatch, raised: Raised = NONE) -> float | NDArray[np.float64]:
        """Return the rate of each span, or one for all of them."""
        if not raised:
            if len(self.strata) == 1:
                return self.strata[0].rate
            return np.array([s.rate for s in self.strata])[self.which(batch)]
        tenants = list(dict.fromkeys(batch.origins.tenant))
        table = np.array([[in_use(s, raised.get((t, s.name))) for s in self.strata] for t in tenants], np.float64)
        if len(tenants) <= 1 and len(self.strata) == 1:
            return float(table[0, 0]) if tenants else self.strata[0].rate
        row = {tenant: at for at, tenant in enumerate(tenants)}
        tenant = np.array([row[t] for t in batch.origins.tenant], np.intp)
        return table[tenant[batch.origin], self.which(batch)]

    def sql(self, prefix: str) -> tuple[str, dict[str, object]]:
        """Return the same as `which` as an expression over `settled_spans` or `spans`, and its parameters."""
        parts: list[str] = []
        bound: dict[str, object] = {}
        for index, stratum in reversed(list(enumerate(self.strata))):
            if stratum.condition is not None:
                text, values = stratum.condition.sql(f"{prefix}{index}")
                parts += [text, str(index)]
                bound |= values
        return (f"multiIf({', '.join(parts)}, 0)" if parts else "0"), bound


def in_use(stratum: Stratum, raised: float | None) -> float:
    """Return the rate of a stratum: never below what is set, never above 1; what is set to 0 stays out."""
    return stratum.rate if raised is None or stratum.rate == 0 else min(max(stratum.rate, raised), 1.0)
