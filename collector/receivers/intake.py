"""The one way from a request's bytes into the journal, for every transport.

budget ─▶ sent before? ─▶ validate (large bodies in a thread) ─▶ journal.append ─▶ Outcome
   │           └─ the first outcome, once more                            │
   └───────────────────────┴── Refused: nothing was kept, every outcome is counted
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from collector.decode.validate import DEFAULT_LIMITS, Limits, Validated, inflated
from collector.decode.validator import Validator
from collector.receivers.budget import Budget, Hold
from collector.receivers.feedback import to_logs_request
from collector.receivers.redelivery import Redelivery, is_certain, key_of
from collector.receivers.refusals import Refusals
from schema.errors import Reason, Refused
from schema.ledger import State, no_tally

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from collector.decode.validate import Encoding
    from schema.component import Journal, Signal
    from schema.errors import Limit
    from schema.ledger import LedgerSignal, Tally

logger = logging.getLogger(__name__)

INLINE_BYTES = 64 << 10
"""Bodies up to this are validated on the event loop: 60 µs, where handing one to a thread costs 24 (measured)."""
FAST_INLINE_BYTES = 256 << 10
"""The same by the kernel: 70 µs (measured)."""
HASHED_INLINE_BYTES = 4 << 20
"""Bodies up to this are hashed on the event loop: 150 µs (measured)."""
PARTIAL = "invalid_id"
"""The ledger's reason for what is refused of a request whose rest is taken."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request that was not refused as a whole."""

    accepted: int
    refused: int = 0
    message: str = ""


Counts: TypeAlias = "Counter[tuple[Signal, str]]"
"""What became of what was sent: "accepted", "refused" and "duplicate" count spans or log records, a reason requests."""

LimitHits: TypeAlias = "Counter[Limit]"
"""How often each limit of receiving was met."""


class Intake:
    """Validates and journals for one transport; `counts` may be shared with another."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        limits: Limits = DEFAULT_LIMITS,
        counts: Counts | None = None,
        validator: Validator | None = None,
        *,
        budget: Budget | None = None,
        limit_hits: LimitHits | None = None,
        refusals: Refusals | None = None,
        redelivery: Redelivery[Outcome] | None = None,
        tally: Tally = no_tally,
    ) -> None:
        self._journal = journal
        self._redelivery = Redelivery[Outcome]() if redelivery is None else redelivery
        self._tally = tally
        self._executor = executor
        self._limits = limits
        self._validate_body = Validator() if validator is None else validator
        self._budget = Budget(limits.max_inflated_bytes) if budget is None else budget
        self.counts: Counts = Counter() if counts is None else counts
        self.limit_hits: LimitHits = Counter() if limit_hits is None else limit_hits
        self.refusals = Refusals() if refusals is None else refusals

    async def take(
        self,
        signal: Signal,
        body: bytes | memoryview,
        *,
        tenant: str,
        encoding: Encoding,
        gzip: bool,
        kind: LedgerSignal | None = None,
    ) -> Outcome:
        """Return once what was accepted is durable, or was when the same request came before.

        `kind` is what the ledger calls it, where that is not the signal.

        Raises:
            Refused: nothing was kept. Whatever else goes wrong before that is logged and becomes UNAVAILABLE, which
                senders retry.

        """
        kind = kind or signal
        try:
            outcome, again = await self._take_once(signal, body, tenant, encoding, gzip=gzip)
        except Refused as e:
            self.count_refused(signal, e.reason, e.limit, str(e), tenant=tenant, members=e.members, kind=kind)
            raise
        except Exception as e:  # noqa: BLE001 - whatever it is, the sender must keep its spans
            log_bug(e)
            self.count_refused(signal, Reason.UNAVAILABLE, tenant=tenant, kind=kind)
            raise Refused(Reason.UNAVAILABLE, "the request could not be kept; try again") from None
        if again:
            self.counts[signal, "duplicate"] += outcome.accepted
            self._tally(tenant, kind, State.DUPLICATE, count=outcome.accepted)
        else:
            self.counts[signal, "accepted"] += outcome.accepted
        if outcome.refused:
            self.counts[signal, "refused"] += outcome.refused
            self._tally(tenant, kind, State.REFUSED, PARTIAL, count=outcome.refused)
            self.refusals.add(kind, PARTIAL, outcome.message, tenant=tenant)
        return outcome

    async def take_feedback(
        self, body: bytes | memoryview, *, tenant: str, gzip: bool, max_bytes: int, now_unix_ns: int
    ) -> Outcome:
        """Take a feedback body (`collector.receivers.feedback`) as the log events it stands for.

        `max_bytes` is how large it may become where it is compressed.

        Raises:
            Refused: nothing was kept; BAD_DATA says which entry and field is wrong.

        """
        limits = replace(self._limits, max_inflated_bytes=min(max_bytes, self._limits.max_inflated_bytes))

        def read() -> ExportLogsServiceRequest:
            with Hold(self._budget, len(body)) as hold:
                plain = inflated(body, limits, hold.take) if gzip else bytes(body)
                return to_logs_request(
                    plain, now_unix_ns=now_unix_ns, max_objects=limits.max_json_objects, reserve=hold.take
                )

        try:
            if len(body) <= INLINE_BYTES and not gzip:
                request = read()
            else:
                request = await asyncio.get_running_loop().run_in_executor(self._executor, read)
        except Refused as e:
            self.count_refused("logs", e.reason, e.limit, str(e), tenant=tenant, kind="feedback")
            raise
        body = request.SerializeToString()
        return await self.take("logs", body, tenant=tenant, encoding="protobuf", gzip=False, kind="feedback")

    def count_refused(
        self,
        signal: Signal,
        reason: Reason,
        limit: Limit | None = None,
        words: str = "",
        *,
        tenant: str = "",
        members: int = 0,
        kind: LedgerSignal | None = None,
    ) -> None:
        """Count a request that was refused as a whole; a transport calls this where it refuses one itself.

        `words` are those of the answer. `members` is how many spans or log records it held, 0 where nobody has counted;
        a tenant may be unknown.
        """
        self.counts[signal, reason.value] += 1
        if limit is not None:
            self.limit_hits[limit] += 1
        self.refusals.add(kind or signal, reason.value, words, tenant=tenant)
        uncounted = 0 if members else 1
        self._tally(tenant, kind or signal, State.REFUSED, reason.value, count=members, uncounted_requests=uncounted)

    async def _take_once(
        self, signal: Signal, body: bytes | memoryview, tenant: str, encoding: Encoding, *, gzip: bool
    ) -> tuple[Outcome, bool]:
        if not body and not gzip and encoding == "protobuf":
            return Outcome(0), False
        key = await self._key(signal, body, tenant, encoding, gzip=gzip)

        async def certain() -> bool:
            if signal == "traces":
                return True
            most = self._limits.max_inflated_bytes
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, lambda: is_certain(signal, encoding, body, gzip=gzip, max_bytes=most)
            )

        return await self._redelivery.once(
            key, lambda: self._take(signal, body, tenant, encoding, gzip=gzip), is_certain=certain
        )

    async def _key(
        self, signal: Signal, body: bytes | memoryview, tenant: str, encoding: Encoding, *, gzip: bool
    ) -> bytes:
        if not self._redelivery.is_on:
            return b""
        if len(body) <= HASHED_INLINE_BYTES:
            return key_of(tenant, signal, encoding, body, gzip=gzip)
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: key_of(tenant, signal, encoding, body, gzip=gzip)
        )

    async def _take(
        self, signal: Signal, body: bytes | memoryview, tenant: str, encoding: Encoding, *, gzip: bool
    ) -> Outcome:
        valid = await self._validate(signal, body, encoding, gzip=gzip)
        if valid.accepted:
            try:
                await self._journal.append(
                    tenant, signal, valid.body, encoding=valid.encoding, gzip=valid.gzip, members=valid.accepted
                )
            except Refused as e:
                e.members = valid.accepted + valid.refused
                raise
        return Outcome(valid.accepted, valid.refused, valid.message)

    async def _validate(self, signal: Signal, body: bytes | memoryview, encoding: Encoding, *, gzip: bool) -> Validated:
        inline_bytes = FAST_INLINE_BYTES if self._validate_body.is_fast and encoding == "protobuf" else INLINE_BYTES

        def work() -> Validated:
            with Hold(self._budget, len(body)) as hold:
                return self._validate_body(
                    body, signal, encoding=encoding, gzip=gzip, limits=self._limits, reserve=hold.take
                )

        # A small gzipped body may inflate to a large one.
        if len(body) <= inline_bytes and not gzip:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def log_bug(error: BaseException) -> None:
    """Log where an unforeseen error came from, without its text: that may quote content."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("a request could not be kept: %s\n%s", type(error).__name__, where)
