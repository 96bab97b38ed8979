"""Whether an issue is gone from production: how many traces were looked at since, and what that leaves possible.

People who looked at n traces and saw it in none leave a rate of 1 - 0.05^(1/n) possible at 95 %, about 3/n (Clopper and
Pearson, Biometrika 26, 1934; the "rule of three", Hanley and Lippman-Hand, JAMA 249, 1983). That is evidence when the
rate that it had before would have shown itself: with a probability of 95 %, one of the n would have been it. Traces of
a sample stand for several, so n is their effective number (Kish, Survey Sampling, 1965: the square of the summed
weights over the sum of their squares). Stored traces that nobody looked at say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from evalgate.database import sql
from evalgate.figures import percent
from evalgate.terminal import count_of
from schema.statistics.counts import none_of, trials_to_rule_out

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from schema.issue import Issue

BEFORE: Final = timedelta(days=90)
"""Before its end, in which the rate that it had is taken."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Labelled traces of some time."""

    traces: int = 0
    showing: int = 0
    """Of these, such that show the issue."""
    weight: float = 0.0
    """How many traces they stand for."""
    weight_showing: float = 0.0
    weight2: float = 0.0
    """The sum of the squares of their weights."""

    @property
    def effective(self) -> float:
        """How many independent traces of the sample they are worth; those outside it are worth none."""
        return self.weight * self.weight / self.weight2 if self.weight2 else 0.0

    @property
    def rate(self) -> float | None:
        """The share that showed it, weighted; None where nobody looked at anything of the sample."""
        return self.weight_showing / self.weight if self.weight else None


@dataclass(frozen=True, slots=True)
class Absence:
    """What speaks for an issue being gone."""

    since: str
    before: Looked
    after: Looked

    @property
    def possible_rate(self) -> float:
        """The rate that is still possible, 95 %."""
        return none_of(self.after.effective)

    @property
    def needed(self) -> int | None:
        """How many traces without it would say that the rate is below the one it had; None: it had none to compare."""
        return trials_to_rule_out(self.before.rate or 0.0)

    @property
    def is_shown(self) -> bool:
        """Whether it would have been seen, were it as frequent as before."""
        return self.after.showing == 0 and self.needed is not None and self.after.effective >= self.needed

    @property
    def sentence(self) -> str:
        """Say it with its numbers."""
        after, before = self.after, self.before
        labelled = f"{count_of(after.traces, 'labelled trace')} that began since {self.since[:10]}"
        if after.showing:
            return f"seen in {after.showing} of {labelled}"
        looked = f"not seen in {labelled}"
        worth = f", worth {after.effective:.0f} of the sample" if round(after.effective) != after.traces else ""
        limit = f": its rate is below {percent(self.possible_rate)} (95 %)" if after.effective >= 1 else ""
        had = (
            f"; before, it was {percent(before.rate)} of {count_of(before.traces, 'labelled trace')}"
            if before.rate
            else ""
        )
        return f"{looked}{worth}{limit}{had}"

    @property
    def lacking(self) -> str:
        """Say what is missing; empty where it is shown."""
        if self.is_shown:
            return ""
        if self.after.showing:
            return "it is not gone"
        if self.needed is None:
            return "there is no rate before to compare with; say why you are sure: --reason"
        more = self.needed - int(self.after.effective)
        return f"look at {count_of(more, 'more trace')} that began since {self.since[:10]}: evalgate label"


def absence(database: TenantDatabase, issue: Issue) -> Absence | None:
    """Return what labels say of an issue since it should be over; None: it never was."""
    if issue.since is None:
        return None
    at = datetime.fromisoformat(issue.since)
    bound = {
        "failure_mode": issue.failure_mode,
        "from_unix_us": int((at - BEFORE).timestamp() * 1_000_000),
        "at_unix_us": int(at.timestamp() * 1_000_000),
    }
    found = {bool(r["is_after"]): r for r in database.rows(sql(__package__, "looked_at"), bound)}

    def looked(*, after: bool) -> Looked:
        row = found.get(after)
        if row is None:
            return Looked()
        return Looked(
            int(row["traces"]), int(row["showing"]), float(row["w"]), float(row["w_showing"]), float(row["w2"])
        )

    return Absence(issue.since, looked(after=False), looked(after=True))
