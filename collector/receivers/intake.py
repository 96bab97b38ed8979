"""The one way from a request's bytes into the journal, for every transport.

budget ─▶ validate (large bodies in a thread) ─▶ journal.append ─▶ Outcome
   └──────────┴── Refused: nothing was kept, every outcome is counted ──┘
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from collector.decode.inflate import gunzip
from collector.decode.validate import DEFAULT_LIMITS, Limits, Validated
from collector.decode.validator import Validator
from collector.receivers.feedback import to_logs_request
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from collector.decode.validate import Encoding
    from schema.component import Journal, Signal

logger = logging.getLogger(__name__)

INLINE_BYTES = 64 << 10
"""Bodies up to this are validated on the event loop: 60 µs, where handing one to a thread costs 24 (measured)."""
FAST_INLINE_BYTES = 256 << 10
"""The same by the kernel: 70 µs (measured)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request that was not refused as a whole."""

    accepted: int
    refused: int = 0
    message: str = ""


class Budget:
    """Bytes of requests in memory at once, over all transports of a receiver. Used on the event loop alone."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0

    @property
    def taken_bytes(self) -> int:
        """Bytes in use now."""
        return self._taken_bytes

    def take(self, n_bytes: int) -> None:
        """Count bytes in; every success must be matched by `give`.

        Raises:
            Refused: UNAVAILABLE when that would be too many; nothing was counted.

        """
        if self._taken_bytes + n_bytes > self._limit_bytes:
            raise Refused(
                Reason.UNAVAILABLE,
                f"{self._taken_bytes} bytes of requests are in flight; the limit is {self._limit_bytes}; try again",
                retry_after_s=1.0,
            )
        self._taken_bytes += n_bytes

    def give(self, n_bytes: int) -> None:
        """Count bytes out."""
        self._taken_bytes -= n_bytes


Counts: TypeAlias = "Counter[tuple[Signal, str]]"
"""What became of what was sent: "accepted" and "refused" count spans or log records, a reason counts requests."""


class Intake:
    """Validates and journals for one transport; `counts` may be shared with another."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        limits: Limits = DEFAULT_LIMITS,
        counts: Counts | None = None,
        validator: Validator | None = None,
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._limits = limits
        self._validate_body = Validator() if validator is None else validator
        self.counts: Counts = Counter() if counts is None else counts

    async def take(
        self, signal: Signal, body: bytes | memoryview, *, tenant: str, encoding: Encoding, gzip: bool
    ) -> Outcome:
        """Return once what was accepted is durable.

        Raises:
            Refused: nothing was kept. Whatever else goes wrong before that is logged and becomes UNAVAILABLE, which
                senders retry.

        """
        try:
            outcome = await self._take(signal, body, tenant, encoding, gzip=gzip)
        except Refused as e:
            self.count_refused(signal, e.reason)
            raise
        except Exception as e:  # noqa: BLE001 - whatever it is, the sender must keep its spans
            log_bug(e)
            self.count_refused(signal, Reason.UNAVAILABLE)
            raise Refused(Reason.UNAVAILABLE, "the request could not be kept; try again") from None
        self.counts[signal, "accepted"] += outcome.accepted
        if outcome.refused:
            self.counts[signal, "refused"] += outcome.refused
        return outcome

    async def take_feedback(self, body: bytes | memoryview, *, tenant: str, gzip: bool, now_unix_ns: int) -> Outcome:
        """Take a feedback body (`collector.receivers.feedback`) as the log events it stands for.

        Raises:
            Refused: nothing was kept; BAD_DATA says which entry and field is wrong.

        """

        def read() -> ExportLogsServiceRequest:
            plain = gunzip(body, self._limits.max_inflated_bytes) if gzip else bytes(body)
            return to_logs_request(plain, now_unix_ns=now_unix_ns)

        try:
            if len(body) <= INLINE_BYTES and not gzip:
                request = read()
            else:
                request = await asyncio.get_running_loop().run_in_executor(self._executor, read)
        except Refused as e:
            self.count_refused("logs", e.reason)
            raise
        body = request.SerializeToString()
        return await self.take("logs", body, tenant=tenant, encoding="protobuf", gzip=False)

    def count_refused(self, signal: Signal, reason: Reason) -> None:
        """Count a request that was refused as a whole; a transport calls this where it refuses one itself."""
        self.counts[signal, reason.value] += 1

    async def _take(
        self, signal: Signal, body: bytes | memoryview, tenant: str, encoding: Encoding, *, gzip: bool
    ) -> Outcome:
        if not body and not gzip and encoding == "protobuf":
            return Outcome(0)
        valid = await self._validate(signal, body, encoding, gzip=gzip)
        if valid.accepted:
            await self._journal.append(
                tenant, signal, valid.body, encoding=valid.encoding, gzip=valid.gzip, members=valid.accepted
            )
        return Outcome(valid.accepted, valid.refused, valid.message)

    async def _validate(self, signal: Signal, body: bytes | memoryview, encoding: Encoding, *, gzip: bool) -> Validated:
        inline_bytes = FAST_INLINE_BYTES if self._validate_body.is_fast and encoding == "protobuf" else INLINE_BYTES
        # A small gzipped body may inflate to a large one.
        if len(body) <= inline_bytes and not gzip:
            return self._validate_body(body, signal, encoding=encoding, gzip=False, limits=self._limits)

        def work() -> Validated:
            return self._validate_body(body, signal, encoding=encoding, gzip=gzip, limits=self._limits)

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def log_bug(error: BaseException) -> None:
    """Log where an unforeseen error came from, without its text: that may quote content."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("a request could not be kept: %s\n%s", type(error).__name__, where)
