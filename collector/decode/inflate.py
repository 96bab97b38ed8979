"""Bounded inflate of gzip bodies.

One coding only; several gzip members count against one budget. Source of the limit: OTLP specification, "the limit
applies after decompression" (OTLP/HTTP Request), 64 MiB by default.
"""

from __future__ import annotations

import zlib

from isal import isal_zlib

from schema.errors import Reason, Refused

IsalError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub says instance
GZIP = 16 + zlib.MAX_WBITS


def gunzip(body: bytes | memoryview, limit_bytes: int) -> bytes:
    """Return the inflated bytes; the GIL is released meanwhile.

    Raises:
        Refused: TOO_LARGE beyond `limit_bytes`, BAD_DATA for anything that is not whole gzip.

    """
    out: list[bytes] = []
    size = 0
    rest: bytes | memoryview = body
    while rest:
        stream = isal_zlib.decompressobj(wbits=GZIP)
        try:
            piece: bytes = stream.decompress(rest, limit_bytes - size + 1)
        except IsalError as e:
            raise Refused(Reason.BAD_DATA, f"the body is not valid gzip: {e}") from None
        size += len(piece)
        if size > limit_bytes:
            raise Refused(Reason.TOO_LARGE, f"the body inflates to more than {limit_bytes} bytes; send smaller batches")
        if not stream.eof:
            raise Refused(Reason.BAD_DATA, "the gzip body ends before its end marker")
        out.append(piece)
        rest = stream.unused_data
    if not out:
        raise Refused(Reason.BAD_DATA, "the gzip body is empty")
    return out[0] if len(out) == 1 else b"".join(out)
