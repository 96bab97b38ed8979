"""One span's attributes, decoded one by one as a converter asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.processors.normalise.literal import read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from schema.batch import AttributeTable


WITHHELD = frozenset({"", "__REDACTED__"})
"""What stands for content that was not sent; the second is OpenInference's (its configuration specification)."""


class View:
    """The attributes of one owner; of equal keys the last wins. `extra` stands in for keys it lacks."""

    __slots__ = ("_extra", "_rows", "_table")

    def __init__(self, table: AttributeTable, rows: Iterable[int], extra: Mapping[str, Any] | None = None) -> None:
        self._table = table
        self._rows = {table.keys[table.key[r]]: r for r in rows}
        self._extra = extra or {}

    def __contains__(self, key: str) -> bool:
        return key in self._rows or key in self._extra

    def keys(self) -> Iterator[str]:
        """Yield every key once."""
        yield from self._rows
        yield from (k for k in self._extra if k not in self._rows)

    def get(self, key: str) -> Any:
        """Return the value as sent, or None."""
        row = self._rows.get(key)
        return self._extra.get(key) if row is None else self._table.value(row)

    def value(self, key: str) -> Any:
        """Return the value, read from JSON where it is text that holds some."""
        return read_value(self.get(key))

    def first(self, keys: Sequence[str]) -> Any:
        """Return the value as sent of the first key that has one that is not empty."""
        for key in keys:
            value = self.get(key) if key in self else None
            if value is not None and not (isinstance(value, str) and value in WITHHELD):
                return value
        return None

    def under(self, prefix: str) -> list[tuple[str, Any]]:
        """Return (rest of the key, value) of every key with this prefix, what was withheld left out."""
        found = ((k[len(prefix) :], self.get(k)) for k in self.keys() if k.startswith(prefix))
        return [(k, v) for k, v in found if not (isinstance(v, str) and v == "__REDACTED__")]
