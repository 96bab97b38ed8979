"""Content hashes: the same content gives the same hash on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return JSON with sorted keys, no white space and only ASCII.

    Raises:
        ValueError: a NaN or an infinity, which JSON lacks.

    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def short_hash(value: Any) -> str:
    """Return the first 16 hex digits of the content hash: a version that people read and paste."""
    return content_hash(value)[:16]
