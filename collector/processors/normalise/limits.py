"""How much of one text is kept as content: a prompt of megabytes serves nobody in a column.

What is cut is cut on a character boundary; its whole length and hash are kept, so that it can be told from another and
found in `span_attributes`, which has it in full. A vector is told by its dimension alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

DEFAULT_MAX_BYTES = 1 << 20
VECTOR_KEYS = frozenset({"embedding", "embeddings", "vector", "dense_vector", "sparse_vector"})
"""Keys under which results of searches carry vectors; numbers under other keys are data."""
MIN_DIMENSION = 16
WORST_BYTES_PER_CHAR = 4


def limit_text(text: str, max_bytes: int) -> tuple[str, bool]:
    """Return the text, cut where it is longer in UTF-8, with a note at its end; and whether it was cut."""
    cut = _cut(text, max_bytes)
    if cut is None:
        return text, False
    kept, length, digest = cut
    return f"{kept}… [cut: {length} bytes, sha256 {digest}]", True


def limit_value(value: Any, max_bytes: int) -> tuple[Any, bool]:
    """Return a JSON value with its texts cut and its vectors dropped, and whether a text was cut.

    A message part says so itself: `truncated`, `original_bytes`, `sha256`; any other text by a note at its end.
    """
    if isinstance(value, str):
        return limit_text(value, max_bytes)
    if isinstance(value, list):
        items = [limit_value(v, max_bytes) for v in value]
        return [v for v, _ in items], any(cut for _, cut in items)
    if not isinstance(value, dict):
        return value, False
    whole = False
    out: dict[Any, Any] = {}
    for key, item in value.items():
        if key in VECTOR_KEYS and _is_vector(item):
            out[key] = {"dimension": len(item)}
            continue
        if key == "content" and isinstance(item, str) and "type" in value and (found := _cut(item, max_bytes)):
            kept, length, digest = found
            out |= {"content": kept, "truncated": True, "original_bytes": length, "sha256": digest}
            whole = True
            continue
        out[key], cut = limit_value(item, max_bytes)
        whole |= cut
    return out, whole


def may_exceed(text: str, max_bytes: int) -> bool:
    """Tell whether a JSON text may hold something to cut or to drop: most do not, and are not walked."""
    return len(text) * WORST_BYTES_PER_CHAR > max_bytes or any(f'"{key}":[' in text for key in VECTOR_KEYS)


def _cut(text: str, max_bytes: int) -> tuple[str, int, str] | None:
    if len(text) * WORST_BYTES_PER_CHAR <= max_bytes:
        return None
    whole = text.encode("utf-8", "replace")
    if len(whole) <= max_bytes:
        return None
    return whole[:max_bytes].decode("utf-8", "ignore"), len(whole), hashlib.sha256(whole).hexdigest()


def _is_vector(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= MIN_DIMENSION
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    )
