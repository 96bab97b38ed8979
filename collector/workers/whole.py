"""The status of several processes as that of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SECTIONS: Final = ("journal", "delivery", "receivers", "tenants")
OF_THE_MOMENT: Final = frozenset({"oldest_unix_ns", "waiting_for"})
"""What is true of a process only while it runs."""


def together(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge statuses: counts are added, of moments the oldest or the latest is kept, of words the first."""
    found = list(documents)
    return {section: _added(d.get(section, {}) for d in found) for section in SECTIONS}


def of_the_past(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stays true of a process after its end: what it counted. Its journal is its successor's."""
    delivery = {k: v for k, v in status.get("delivery", {}).items() if k not in OF_THE_MOMENT}
    return {"delivery": delivery, "receivers": status.get("receivers", {}), "tenants": status.get("tenants", {})}


def _added(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            merged[key] = _merged(key, merged[key], value) if key in merged else value
    return merged


def _merged(key: str, one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict):
        return _added((one, other))
    if isinstance(one, bool):
        return one or other
    if key.endswith("_unix_ns"):
        return min(one, other) if key.startswith("oldest") else max(one, other)
    return one + other if isinstance(one, int) else one
