"""How many traces came in the last day, by tenant and rule."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database
    from schema.policy.rates import Rates

DAY_NS: Final = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Count:
    """The traces of one stratum of one tenant, in which nothing fails."""

    tenant: str
    stratum: int
    """Index into `Rates.strata`."""
    traces: int
    sampled_traces: int


def count_traces(db: Database, rates: Rates, now_unix_ns: int) -> list[Count]:
    """Count the traces of the last 24 hours. Raises Retryable, Permanent."""
    expression, bound = rates.sql("rule")
    text = files(__package__).joinpath("sql", "count.sql").read_text("utf-8").replace("0 /* stratum */", expression)
    since = now_unix_ns - DAY_NS
    parameters = {**bound, "since_unix_ns": since, "rates": [s.rate for s in rates.strata]}
    return [Count(r["tenant"], r["stratum"], r["traces"], r["sampled_traces"]) for r in db.rows(text, parameters)]
