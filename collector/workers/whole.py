"""The status of several processes as that of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COUNTED: Final = ("receivers", "tenants", "redactions", "tracestate_faults", "limits")
SECTIONS: Final = ("journal", "delivery", "ledger", "retention", *COUNTED)
OF_THE_MOMENT: Final = frozenset({"oldest_unix_ns", "waiting_for", "breaker", "failures", "stopped_by"})
"""What is true of a process only while it runs."""


def together(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge statuses: counts are added, of moments the oldest or the latest is kept, of words the first."""
    found = list(documents)
    merged = {section: _added(d.get(section, {}) for d in found) for section in SECTIONS}
    return {**merged, "baseline_rates": [rate for d in found for rate in d.get("baseline_rates", ())]}  # of one of them


def of_the_past(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stays true of a process after its end: what it counted. Its journal is its successor's."""
    delivery = _counted(status.get("delivery", {}))
    ledger = {"booked": status.get("ledger", {}).get("booked", {})}
    kept = {section: status.get(section, {}) for section in COUNTED}
    return {"delivery": delivery, "ledger": ledger, **kept}


def _counted(delivery: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: {i: _counted(of_one) for i, of_one in v.items()} if k == "exporters" else v
        for k, v in delivery.items()
        if k not in OF_THE_MOMENT
    }


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
    if key == "breaker":
        return other if one == "closed" else one
    if isinstance(one, bool):
        return one or other
    if key.endswith("_unix_ns"):
        return min(one, other) if key.startswith("oldest") else max(one, other)
    return one + other if isinstance(one, int) else one
