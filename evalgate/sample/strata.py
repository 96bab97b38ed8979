"""The rates in force, rule by rule, and how many traces a day they give: from what is stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evalgate.database import sql
from evalgate.sample.show import DAY_S, per_day_text
from schema.policy.rates import Rates, in_use

if TYPE_CHECKING:
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.terminal import Terminal
    from schema.policy import Policy
    from schema.policy.rates import Raised


@dataclass(frozen=True, slots=True)
class RuleLoad:
    """One rule of a policy, or what is left for the baseline rate; figures are per day."""

    rule: str
    """Its name; "" for traces of no rule."""
    when: str
    rate: float
    """As it is set."""
    in_use: float
    """Above that where a target raised it."""
    traces: float
    failing: float
    sampled: float
    """In the baseline, and not failing."""
    flagged: float


def rule_loads(
    database: TenantDatabase, policy: Policy, raised: Raised, *, since: datetime, now: datetime
) -> list[RuleLoad]:
    """Count the traces of each rule, the highest rate first, those of none last."""
    days = max((now - since).total_seconds() / DAY_S, 1 / 24)
    ready = Rates.of(policy.sample)
    expression, values = ready.sql("s")
    # A trace has the highest rate of its spans: strata are told apart by their places in that order.
    rate_of = [in_use(s, raised.get((database.tenant, s.name))) for s in ready.strata]
    order = sorted(range(len(rate_of)), key=lambda index: (rate_of[index], index))
    places = ", ".join(str(order.index(index)) for index in range(len(order)))
    text = sql(__package__, "strata").replace("/* stratum */ 0", f"[{places}][{expression} + 1]")
    bound = {"since_s": int(since.timestamp()), **values}
    counted = {order[int(r["stratum"])]: r for r in database.rows(text, bound)}
    nothing = dict.fromkeys(("traces", "failing", "sampled", "flagged"), 0.0)
    return [
        RuleLoad(
            rule=stratum.name,
            when=stratum.condition.text if stratum.condition else "",
            rate=stratum.rate,
            in_use=rate_of[index],
            **{name: float(counted.get(index, nothing)[name]) / days for name in nothing},
        )
        for index, stratum in reversed(list(enumerate(ready.strata)))
    ]


def print_loads(terminal: Terminal, policy: Policy, tenant: str, found: list[RuleLoad], since: datetime) -> None:
    """Print them as a table."""
    target = policy.sample.target_per_day
    wanted = "" if target is None else f", {target:g} sampled traces a day are wanted of each"
    terminal.say(
        f"Policy {policy.version} of tenant {tenant}, traffic received since {since:%Y-%m-%d %H:%M} UTC{wanted}"
    )
    rows = [
        [
            load.rule or "(no rule)",
            f"{load.rate:g}" if load.in_use == load.rate else f"{load.rate:g}, raised to {load.in_use:.3g}",
            *map(per_day_text, (load.traces, load.failing, load.sampled, load.flagged)),
            load.when,
        ]
        for load in found
    ]
    terminal.table(["rule", "rate", "traces a day", "failing", "sampled", "flagged", "when"], rows)


def loads_json(policy: Policy, tenant: str, found: list[RuleLoad], since: datetime) -> dict[str, Any]:
    """Return them as a document."""
    return {
        "policy_version": policy.version,
        "tenant": tenant,
        "since": since.isoformat(),
        "target_per_day": policy.sample.target_per_day,
        "rules": [asdict(load) for load in found],
    }
