"""A back-test from its arguments to its report."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.sample.backtest import Side, backtest
from evalgate.sample.portions import history
from evalgate.sample.proposal import in_force
from evalgate.sample.show import Holding, Report
from schema.errors import Permanent, Retryable
from schema.policy import Policy
from schema.policy.rates import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from evalgate.database import TenantDatabase
    from evalgate.sample.proposal import Proposal
    from evalgate.terminal import Terminal
    from schema.policy.rates import Raised

HIDDEN_CODES: Final = frozenset({60, 497})
"""UNKNOWN_TABLE and ACCESS_DENIED of ClickHouse `src/Common/ErrorCodes.cpp`: tables of the service, not of a tenant."""
NO_PARAMETERS: Final[Mapping[str, object]] = MappingProxyType({})


def make_report(
    database: TenantDatabase,
    tried: Proposal,
    before: Proposal | None,
    *,
    since: datetime,
    now: datetime,
    terminal: Terminal,
) -> Report:
    """Carry out a back-test. Raises BadInput where what is tried does not go with the policy in force."""
    if since >= now:
        raise BadInput(f"--since {since:%Y-%m-%d %H:%M} UTC is not over yet")
    notes: list[str] = []
    present = policy_in_force(database)
    if tried.base is None and present is None:
        notes.append("No collector wrote down its policy here: what is tried is added to the default one.")
    policy = tried.on(present or Policy())
    past = history(database, since, now)
    raised = raised_rates(database, policy)
    sides = Side(None if before is None else before.on(Policy()), NONE), Side(policy, raised)
    if policy.sample.target_per_day is not None and not raised:
        notes.append(
            "target_per_day raises rates as traffic comes in: this counts with the rates that are set, the least."
        )
    with terminal.progress("reading stored traces", len(past.portions)) as step:
        found = backtest(database, past, *sides, bytes_per_span=bytes_per_span(database), step=step)
    return Report(
        then=tried.name if tried.base is None else f"{tried.name} (policy {policy.version})",
        now="what was decided" if before is None else before.name,
        since=past.since,
        until=now,
        whole_since=found.whole_since,
        counted=found.counted,
        holding=holding(database),
        notes=tuple(notes),
    )


def policy_in_force(database: TenantDatabase) -> Policy | None:
    """Return the policy under which the last span came; None where no collector wrote it down."""
    latest = database.rows(sql(__package__, "version"))
    rows = _told(database, "policy", {"version": latest[0]["version"] or "" if latest else ""})
    return in_force(rows[0]["body"]) if rows else None


def raised_rates(database: TenantDatabase, policy: Policy) -> Raised:
    """Return the rates that a collector raised for the target of this policy, where it has one."""
    target = policy.sample.target_per_day
    if target is None:
        return NONE
    rows = _told(database, "raised", {"tenant": database.tenant})
    return {(database.tenant, str(r["rule"])): float(r["in_use"]) for r in rows if float(r["target"]) == target}


def holding(database: TenantDatabase) -> Holding:
    """Return for how long traces of this tenant are kept, the defaults where nothing says so."""
    rows = _told(database, "holding")
    if not rows:
        return Holding()
    settings = json.loads(rows[0]["body"])
    return Holding(**settings["tenants"].get(database.tenant, settings["default"]))


def bytes_per_span(database: TenantDatabase) -> float:
    """Return what a stored span takes on disk, on average; 0 where this may not be asked."""
    rows = _told(database, "disk")
    return float(rows[0]["bytes_per_span"] or 0) if rows else 0.0


def _told(
    database: TenantDatabase, name: str, parameters: Mapping[str, object] = NO_PARAMETERS
) -> list[dict[str, Any]]:
    """Return what the service says of itself; nothing where the reader may not see that."""
    try:
        return database.rows(sql(__package__, f"service/{name}"), parameters)
    except (Permanent, Retryable) as e:
        if getattr(e.__cause__, "code", None) not in HIDDEN_CODES:
            raise
        return []
