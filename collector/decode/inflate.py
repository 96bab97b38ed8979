"""Bounded inflate of gzip bodies.

One coding only; several gzip members count against one budget. Source of the limit: OTLP specification, "the limit
applies after decompression" (OTLP/HTTP Request), 64 MiB by default. A bomb is seen by its ratio before that: real
telemetry compresses 5 to 40 times, zeros a thousand times.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from isal import isal_zlib

from schema.errors import Limit, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

IsalError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub says instance
GZIP = 16 + zlib.MAX_WBITS
RATIO_FROM_BYTES: Final = 1 << 20
"""Up to this size any ratio is taken: little is small however it came."""
MAX_MEMBERS: Final = 64
"""Of one body; a sender writes one. Each costs a copy of what follows it."""
FIRST_BYTES: Final = 64 << 10
"""Inflated at first where the trailer names less; then as much again as there is."""


def gunzip(
    body: bytes | memoryview,
    limit_bytes: int,
    *,
    max_ratio: int | None = None,
    reserve: Callable[[int], None] | None = None,
) -> bytes:
    """Return the inflated bytes; the GIL is released meanwhile.

    `max_ratio` is how many times larger than the body they may be, beyond 1 MiB; of a body whose trailer does not say
    its size, than what was read of it so far, too. `reserve` is called with a number of
    bytes before that many more are made, and may raise.

    Raises:
        Refused: TOO_LARGE beyond `limit_bytes` or the ratio, BAD_DATA for anything that is not whole gzip.

    """
    allowed = _Allowed(len(body), limit_bytes, max_ratio)
    out: list[bytes] = []
    size = 0
    rest: bytes | memoryview = body
    for _ in range(MAX_MEMBERS):
        stream = isal_zlib.decompressobj(wbits=GZIP)
        announced_bytes = _announced_bytes(rest)
        step = max(FIRST_BYTES, size, announced_bytes if announced_bytes <= allowed.n_bytes else 0)
        while not stream.eof:
            step = min(step, allowed.n_bytes - size)
            if reserve is not None:
                reserve(step)
            try:
                piece: bytes = stream.decompress(rest, step + 1)
            except IsalError as e:
                raise Refused(Reason.BAD_DATA, f"the body is not valid gzip: {e}") from None
            size += len(piece)
            if size > allowed.n_bytes or allowed.is_bomb(size, len(body) - len(stream.unconsumed_tail)):
                raise allowed.exceeded()
            if len(piece) <= step and not stream.eof:
                raise Refused(Reason.BAD_DATA, "the gzip body ends before its end marker")
            out.append(piece)
            rest = stream.unconsumed_tail
            step = size
        rest = stream.unused_data
        if not rest:
            return out[0] if len(out) == 1 else b"".join(out)
    raise Refused(Reason.BAD_DATA, f"the gzip body has more than {MAX_MEMBERS} members")


def _announced_bytes(body: bytes | memoryview) -> int:
    """Return the size of the last member as its trailer says, modulo 4 GiB: a hint that a sender can make up."""
    return int.from_bytes(body[-4:], "little")


class _Allowed:
    """How much a body may inflate to, and why not more."""

    __slots__ = ("_by_ratio", "_limit_bytes", "_max_ratio", "n_bytes")

    def __init__(self, body_bytes: int, limit_bytes: int, max_ratio: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._max_ratio = max_ratio
        by_ratio = limit_bytes if max_ratio is None else max(RATIO_FROM_BYTES, max_ratio * body_bytes)
        self._by_ratio = by_ratio < limit_bytes
        self.n_bytes = min(limit_bytes, by_ratio)

    def is_bomb(self, size: int, read_bytes: int) -> bool:
        """Tell whether what was read of the body grew too much already: there is no need to wait for the rest."""
        if self._max_ratio is None or size <= RATIO_FROM_BYTES or size <= self._max_ratio * read_bytes:
            return False
        self._by_ratio = True
        return True

    def exceeded(self) -> Refused:
        if self._by_ratio:
            return Refused(
                Reason.TOO_LARGE,
                f"the body inflates to more than {self._max_ratio} times its size; send it uncompressed",
                limit=Limit.INFLATE_RATIO,
            )
        return Refused(
            Reason.TOO_LARGE,
            f"the body inflates to more than {self._limit_bytes} bytes; send smaller batches",
            limit=Limit.INFLATED_BODY,
        )
