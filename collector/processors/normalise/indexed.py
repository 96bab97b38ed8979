"""Indexed attributes ("llm.input_messages.0.message.role") to nested values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SEGMENTS = 16
"""Deepest key that is still nested; the deepest real one, an image in a tool call's message, has 10."""


def unflatten(items: Iterable[tuple[str, Any]]) -> Any:
    """Return the nested value of (dotted path, value) pairs; numbered levels become lists in order of number.

    A path that is also a prefix of others keeps the others. Paths of more than MAX_SEGMENTS segments are left out.
    """
    root: dict[str, Any] = {}
    for path, value in items:
        segments = path.split(".", MAX_SEGMENTS)
        if len(segments) > MAX_SEGMENTS:
            continue
        node = root
        for segment in segments[:-1]:
            inner = node.get(segment)
            if not isinstance(inner, dict):
                inner = node[segment] = {}
            node = inner
        if not isinstance(node.get(segments[-1]), dict):
            node[segments[-1]] = value
    return _listed(root)


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    nested = {k: _listed(v) for k, v in node.items()}
    if nested and all(k.isascii() and k.isdigit() and len(k) < 10 for k in nested):
        return [nested[k] for k in sorted(nested, key=int)]
    return nested
