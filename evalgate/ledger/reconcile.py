"""Compare what senders say was acknowledged with what the ledger says became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from evalgate.ledger.account import IN_JOURNAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.ledger.account import Line
    from evalgate.ledger.sent import Sent

KEPT: Final = ("stored", "quarantined", "purged", "erased", "sampled_out", "expired", IN_JOURNAL)
"""States of what was acknowledged and is accounted for. Not `lost`; not `duplicate`, whose first delivery counts."""

Key = tuple[str, str]
"""Tenant and signal."""
Stored = "Mapping[tuple[str, str, str], int]"


@dataclass(frozen=True, slots=True)
class Difference:
    """One tenant, signal and, where senders tell them apart, service."""

    tenant: str
    signal: str
    service: str
    sent: int
    found: int
    """In any state of KEPT; of a service, what is stored of it."""
    kept: Mapping[str, int]
    """The same by state."""
    missing: int
    """Acknowledged, and nowhere."""

    @property
    def surplus(self) -> int:
        """More than was said to be sent: another sender, or what was sent again after the re-delivery window."""
        return max(0, self.found - self.sent)


def compare(
    sent: Sequence[Sent], lines: Iterable[Line], by_service: Mapping[tuple[str, str, str], int], tenants: Sequence[str]
) -> list[Difference]:
    """Return a difference for each tenant, signal and service that senders speak of.

    `by_service` is what is stored by (tenant, signal, service). What a service lacks may wait in the journal or in
    quarantine, where nobody knows services: that much of its tenant and signal is granted to its services together.

    Raises:
        BadInput: a sender names no tenant, and there are several.

    """
    kept: dict[Key, Counter[str]] = {}
    for line in lines:
        if line.state in KEPT:
            kept.setdefault((line.tenant, line.signal), Counter())[line.state] += line.count
    wanted: Counter[tuple[str, str, str]] = Counter()
    for s in sent:
        wanted[_tenant(s, tenants), s.signal, s.service] += s.count
    granted = {key: sum(states.values()) - states["stored"] for key, states in kept.items()}
    found = []
    for (tenant, signal, service), count in sorted(wanted.items()):
        states = Counter(kept.get((tenant, signal), ()))
        if signal == "feedback":  # it waits as log records: nobody has read it yet
            states[IN_JOURNAL] += kept.get((tenant, "logs"), Counter())[IN_JOURNAL]
        if not service:
            here = sum(states.values())
            missing = max(0, count - here)
        else:
            here = by_service.get((tenant, signal, service), 0)
            short = max(0, count - here)
            grant = min(short, max(0, granted.get((tenant, signal), 0)))
            granted[tenant, signal] = granted.get((tenant, signal), 0) - grant
            missing = short - grant
        found.append(Difference(tenant, signal, service, count, here, dict(states.most_common()), missing))
    return found


def _tenant(sent: Sent, tenants: Sequence[str]) -> str:
    if sent.tenant:
        return sent.tenant
    if len(tenants) > 1:
        raise BadInput(f"the senders name no tenant, and there are several: {', '.join(tenants[:10])}. Add --tenant")
    return tenants[0] if tenants else "default"
