"""The way from a receiver to the journal: which signals may pass, and what each tenant sent; shut at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collector.journal import Journal
    from collector.shutdown import Admission
    from schema.component import Signal


@dataclass(slots=True)
class TenantCounts:
    """What one tenant sent, since the start of the process."""

    requests: int = 0
    """Journalled."""
    bytes: int = 0
    """Of them, as they came."""
    refused_requests: int = 0
    """By the journal; what a receiver refuses for what it is has no tenant yet."""


class SignalGate:
    """The journal as one receiver sees it: only the signals whose pipelines name that receiver get in."""

    def __init__(
        self, journal: Journal, signals: frozenset[Signal], tenants: dict[str, TenantCounts], admission: Admission
    ) -> None:
        self._journal = journal
        self._signals = signals
        self._tenants = tenants
        self._admission = admission

    async def append(
        self,
        tenant: str,
        signal: Signal,
        body: bytes | memoryview,
        *,
        encoding: Literal["protobuf", "json"],
        gzip: bool,
        members: int,
    ) -> int:
        """Append, or refuse for good: without a pipeline nobody would ever read it."""
        counts = self._tenants.setdefault(tenant, TenantCounts())
        try:
            self._admit(signal)
            self._admission.enter()
            try:
                sequence = await self._journal.append(
                    tenant, signal, body, encoding=encoding, gzip=gzip, members=members
                )
            finally:
                self._admission.leave()
        except Refused:
            counts.refused_requests += 1
            raise
        counts.requests += 1
        counts.bytes += len(body)
        return sequence

    def _admit(self, signal: Signal) -> None:
        if signal not in self._signals:
            raise Refused(
                Reason.BAD_DATA, f"{signal} are not taken here; add the receiver to service.pipelines.{signal}"
            )
