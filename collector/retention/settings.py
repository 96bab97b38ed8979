"""Holding times: for how long what is flagged is kept, and what is not, of each tenant."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FOREVER_DAYS: Final = 1_000_000
"""What is never removed."""


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """For how many whole days after the day of its last receipt a trace is kept."""

    flagged_days: int = FOREVER_DAYS
    """Failing, in the baseline, annotated, or a case was made of it."""
    other_days: int = FOREVER_DAYS


@dataclass(frozen=True, slots=True)
class Settings:
    """Holding times of all tenants."""

    default: Holding = Holding()
    tenants: Mapping[str, Holding] = field(default_factory=dict)

    def of(self, tenant: str) -> Holding:
        """Return what holds for a tenant."""
        return self.tenants.get(tenant, self.default)

    @property
    def shortest_days(self) -> int:
        """Of everything: nothing that is younger has to be looked at."""
        return min(min(h.other_days, h.flagged_days) for h in (self.default, *self.tenants.values()))

    @property
    def shortest_flagged_days(self) -> int:
        """Of what is flagged."""
        return min(h.flagged_days for h in (self.default, *self.tenants.values()))

    def is_shorter_than(self, other: Settings) -> bool:
        """Tell whether something is kept for less long than by the other settings."""
        return any(
            mine.flagged_days < its.flagged_days or mine.other_days < its.other_days
            for tenant in ("", *self.tenants, *other.tenants)
            for mine, its in ((self.of(tenant), other.of(tenant)),)
        )

    def values(self, prefix: str = "") -> dict[str, Any]:
        """Return them as values of statements (sql/due.sql)."""
        # An entry for nobody: ClickHouse's transform() takes no empty arrays.
        tenants = {"": self.default, **self.tenants}
        return {
            f"{prefix}tenants": list(tenants),
            f"{prefix}flagged": [h.flagged_days for h in tenants.values()],
            f"{prefix}other": [h.other_days for h in tenants.values()],
            f"{prefix}flagged_days": self.default.flagged_days,
            f"{prefix}other_days": self.default.other_days,
        }

    def document(self) -> dict[str, Any]:
        """Return them as they are kept."""
        return {"default": asdict(self.default), "tenants": {t: asdict(h) for t, h in sorted(self.tenants.items())}}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Settings:
        """Return what `document` made."""
        tenants = {t: Holding(**h) for t, h in document["tenants"].items()}
        return cls(Holding(**document["default"]), tenants)

    def words(self) -> str:
        """Return them in a sentence of few words."""
        told = [f"flagged {_days(self.default.flagged_days)}, others {_days(self.default.other_days)}"]
        told += [
            f"{t}: flagged {_days(h.flagged_days)}, others {_days(h.other_days)}"
            for t, h in sorted(self.tenants.items())
        ]
        return "; ".join(told)


def _days(days: int) -> str:
    return "forever" if days >= FOREVER_DAYS else "1 day" if days == 1 else f"{days} days"
