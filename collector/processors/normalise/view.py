"""One span's attributes, decoded one by one as a converter asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.processors.normalise.literal import read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from schema.batch import AttributeTable

WITHHELD = frozenset({"", "__REDACTED__", "<REDACTED>"})
"""What stands for content that was not sent: OpenInference's (its configuration specification) and Claude Code's."""


def withheld(value: Any) -> bool:
    """Tell a value that stands for content that was not sent."""
    return isinstance(value, str) and value in WITHHELD


class PrefixIndex:
    """Which keys of one attribute table begin with which of the prefixes that converters ask for.

    Made once for a batch, so that no span is searched for prefixes it has no keys of.
    """

    __slots__ = ("groups",)

    def __init__(self, keys: Sequence[str], prefixes: Sequence[str]) -> None:
        self.groups: dict[int, tuple[tuple[str, str], ...]] = {}
        """Number of a key -> (prefix, rest of the key) for every prefix it begins with."""
        for number, key in enumerate(keys):
            if found := tuple((p, key[len(p) :]) for p in prefixes if key.startswith(p)):
                self.groups[number] = found


class View:
    """The attributes of one owner; of equal keys the last wins. `extra` stands in for keys it lacks."""

    __slots__ = ("_extra", "_groups", "_rows", "_table")

    def __init__(
        self,
        table: AttributeTable,
        rows: Iterable[int],
        extra: Mapping[str, Any] | None = None,
        index: PrefixIndex | None = None,
    ) -> None:
        self._table = table
        self._extra = extra or {}
        self._rows: dict[str, int] = {}
        self._groups: dict[str, dict[str, int]] = {}
        key = table.key
        for row in rows:
            number = int(key[row])
            self._rows[table.keys[number]] = row
            if index is not None and number in index.groups:
                for prefix, rest in index.groups[number]:
                    self._groups.setdefault(prefix, {})[rest] = row

    def __contains__(self, key: str) -> bool:
        return key in self._rows or key in self._extra

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
            if value is not None and not withheld(value):
                return value
        return None

    def under(self, prefix: str, ending: str = "") -> list[tuple[str, Any]]:
        """Return (rest of the key, value) of every key with this prefix of the index and this ending.

        What was withheld is left out.
        """
        group = self._groups.get(prefix, {})
        found = [(rest, self._table.value(row)) for rest, row in group.items() if rest.endswith(ending)]
        found += [
            (k[len(prefix) :], v)
            for k, v in self._extra.items()
            if k.startswith(prefix) and k.endswith(ending) and k not in self._rows
        ]
        return [(k, v) for k, v in found if not withheld(v)]
