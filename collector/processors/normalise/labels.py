"""Tags and metadata the application attached, without what the framework put beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.processors.normalise.literal import read_json_object, read_value

if TYPE_CHECKING:
    from collector.processors.normalise.subject import Subject


def convert_labels(subject: Subject) -> None:
    """Find tags and metadata, and the columns that metadata tells where no key of their own does."""
    content, view = subject.table.content, subject.view
    tags = read_value(view.first(content["tags"]))
    if isinstance(tags, str):
        tags = [t.strip() for t in tags.split(",") if t.strip()]
    subject.put("tags", [t for t in tags if isinstance(t, str) and t] if isinstance(tags, list) else None)
    found: dict[str, Any] = {}
    for value in view.each(content["metadata"]):
        found |= read_json_object(value)
    for prefix in content["metadata_prefixes"]:
        for name, value in view.under(prefix):
            found.setdefault(name, read_value(value))
    for column, members in subject.table.metadata_columns.items():
        told = next((v for m in members if isinstance(v := found.get(m), str) and v), None)
        if told is not None:
            subject.put(column, subject.table.providers.canonical(told) if column == "provider" else told)
    subject.put("metadata", {k: v for k, v in found.items() if _own(subject, k) and v not in (None, "", [], {})})


def _own(subject: Subject, name: str) -> bool:
    table = subject.table
    return name not in table.metadata_noise_names and not name.startswith(table.metadata_noise_prefixes)
