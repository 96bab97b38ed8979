"""Legal holds: traces that retention leaves alone until somebody lets them go again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.retention import log
from collector.retention.queries import rows, statement
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from exporters.clickhouse.connect import Database

HEX_DIGITS: Final = frozenset("0123456789abcdef")
IDS_AT_A_TIME: Final = 500
"""Of a statement: they go along in the URL."""
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Held:
    """A trace that stays."""

    tenant: str
    trace: str
    since: datetime
    reason: str
    actor: str


def add(db: Database, traces: Sequence[str], *, tenant: str | None, reason: str, actor: str) -> list[tuple[str, str]]:
    """Hold traces; return their tenants and ids. All of them, or none.

    Raises:
        ConfigError: an id is none, nothing is stored of it, it is of several tenants, or it is about to go.
        Retryable, Permanent: as the database does; to call again does no harm.

    """
    chosen = _find(db, traces, tenant)
    if going := _going(db, chosen):
        raise ConfigError(f"{_some(going)}: retention has removed it, or is about to; nothing was held")
    _write(db, chosen, held=True, reason=reason, actor=actor)
    log.append_last(db, "hold", actor=actor, reason=reason, body={"traces": len(chosen)})
    # A run whose decision is in the log before this entry did not know of it; one that comes after does.
    if late := _going(db, chosen):
        raise ConfigError(
            f"{_some(late)}: retention decided at the same moment that it goes; the other {len(chosen) - len(late)} "
            "traces are held"
        )
    return chosen


def release(
    db: Database, traces: Sequence[str], *, tenant: str | None, reason: str, actor: str
) -> list[tuple[str, str]]:
    """Let traces go again, when their time comes; return their tenants and ids. Raises as `add`."""
    ids = _ids(traces)
    found = [(h.tenant, h.trace) for h in held(db, tenant) if h.trace in ids]
    if missing := [i for i in ids if i not in {trace for _, trace in found}]:
        raise ConfigError(f"{_some(missing)}: not held; `evalgate hold list` shows what is")
    _write(db, found, held=False, reason=reason, actor=actor)
    log.append_last(db, "release", actor=actor, reason=reason, body={"traces": len(found)})
    return found


def held(db: Database, tenant: str | None = None) -> list[Held]:
    """Return the traces that are held, the first held first. Raises Retryable, Permanent."""
    return [Held(**row) for row in rows(db, statement("held"), {"tenant": tenant or ""})]


def _find(db: Database, traces: Sequence[str], tenant: str | None) -> list[tuple[str, str]]:
    ids = _ids(traces)
    found: list[tuple[str, str]] = []
    for some in _pieces(ids):
        known = rows(db, statement("known"), {"traces": some})
        found += [(r["tenant"], r["trace"]) for r in known if tenant in (None, r["tenant"])]
    of: dict[str, list[str]] = {}
    for whose, trace in found:
        of.setdefault(trace, []).append(whose)
    if unknown := [i for i in ids if i not in of]:
        raise ConfigError(f"{_some(unknown)}: nothing is stored of it; nothing was held")
    if shared := [i for i in ids if len(of[i]) > 1]:
        whose = ", ".join(of[shared[0]])
        raise ConfigError(f"{_some(shared)}: several tenants have it ({whose}); say whose: --tenant NAME")
    return found


def _going(db: Database, chosen: Sequence[tuple[str, str]]) -> list[str]:
    wanted = set(chosen)
    found = [
        (r["tenant"], r["trace"])
        for some in _pieces([trace for _, trace in chosen])
        for r in rows(db, statement("going"), {"traces": some})
    ]
    return [trace for whose, trace in found if (whose, trace) in wanted]


def _write(db: Database, chosen: Sequence[tuple[str, str]], *, held: bool, reason: str, actor: str) -> None:
    told: dict[str, Any] = {"held": held, "reason": reason, "actor": actor}
    db.insert_rows("holds", [{"tenant": whose, "trace_id": trace, **told} for whose, trace in chosen])


def _ids(traces: Sequence[str]) -> list[str]:
    ids = list(dict.fromkeys(t.strip().lower() for t in traces))
    for given in ids:
        if len(given) != 32 or not HEX_DIGITS.issuperset(given):
            raise ConfigError(f"{given[:80]!r} is no trace id: 32 hex digits, as `evalgate traces` shows them")
    return ids


def _pieces(of: Sequence[str]) -> Iterator[list[str]]:
    for i in range(0, len(of), IDS_AT_A_TIME):
        yield list(of[i : i + IDS_AT_A_TIME])


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")
