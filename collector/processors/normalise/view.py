"""One span's attributes, decoded one by one as a converter asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.processors.normalise.literal import read_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from schema.batch import AttributeTable

WITHHELD = frozenset({"", "__REDACTED__", "<REDACTED>", "Function called with tools"})
"""What stands for content that was not sent: OpenInference's (its specification), Claude Code's, OpenLIT's."""


def withheld(value: Any) -> bool:
    """Tell a value that stands for content that was not sent."""
    return isinstance(value, str) and value in WITHHELD


class Shape:
    """The keys of an owner in their order, and where each is: most spans of a batch have one of a few shapes."""

    __slots__ = ("_present", "groups", "places")

    def __init__(self, keys: Iterable[tuple[str, tuple[tuple[str, str], ...]]]) -> None:
        self.places: dict[str, int] = {}
        """Key -> its place after the owner's first row; of equal keys the last."""
        self.groups: dict[str, dict[str, int]] = {}
        """Prefix -> rest of the key -> its place."""
        self._present: dict[Sequence[str], tuple[int, ...]] = {}
        for place, (key, found) in enumerate(keys):
            self.places[key] = place
            for prefix, rest in found:
                self.groups.setdefault(prefix, {})[rest] = place

    def present(self, keys: Sequence[str]) -> tuple[int, ...]:
        """Return the places of those of these keys that it has, in the order asked for."""
        known = self._present.get(keys)
        if known is None:
            known = self._present[keys] = tuple(self.places[k] for k in keys if k in self.places)
        return known


class PrefixIndex:
    """Which keys of one attribute table begin with which of the prefixes that converters ask for.

    Made once for a batch, so that no span is searched for prefixes it has no keys of, and spans of one shape are
    looked at once.
    """

    __slots__ = ("_keys", "_shapes", "groups")

    def __init__(self, keys: Sequence[str], prefixes: Sequence[str]) -> None:
        self.groups: dict[int, tuple[tuple[str, str], ...]] = {}
        """Number of a key -> (prefix, rest of the key) for every prefix it begins with."""
        self._keys = keys
        self._shapes: dict[bytes, Shape] = {}
        for number, key in enumerate(keys):
            if found := tuple((p, key[len(p) :]) for p in prefixes if key.startswith(p)):
                self.groups[number] = found

    def shape(self, numbers: NDArray[np.int32]) -> Shape:
        """Return the shape of an owner with the keys of these numbers."""
        same = numbers.tobytes()
        known = self._shapes.get(same)
        if known is None:
            known = self._shapes[same] = Shape((self._keys[i], self.groups.get(i, ())) for i in numbers.tolist())
        return known


class View:
    """The attributes of one owner; of equal keys the last wins. `extra` stands in for keys it lacks."""

    __slots__ = ("_extra", "_first_row", "_shape", "_table")

    def __init__(
        self,
        table: AttributeTable,
        rows: range,
        extra: Mapping[str, Any] | None = None,
        index: PrefixIndex | None = None,
    ) -> None:
        self._table = table
        self._extra = extra or {}
        self._first_row = rows.start
        self._shape = (index or PrefixIndex(table.keys, ())).shape(table.key[rows.start : rows.stop])

    def __contains__(self, key: str) -> bool:
        return key in self._shape.places or key in self._extra

    def get(self, key: str) -> Any:
        """Return the value as sent, or None."""
        place = self._shape.places.get(key)
        return self._extra.get(key) if place is None else self._table.value(self._first_row + place)

    def value(self, key: str) -> Any:
        """Return the value, read from JSON where it is text that holds some."""
        return read_value(self.get(key))

    def first(self, keys: Sequence[str]) -> Any:
        """Return the value as sent of the first key that has one that is not empty."""
        if not self._extra and not self._shape.present(keys):
            return None
        for value in self.each(keys):
            if value is not None and not withheld(value):
                return value
        return None

    def each(self, keys: Sequence[str]) -> Iterator[Any]:
        """Yield the values as sent of those keys that there are, in the order asked for."""
        if self._extra:
            yield from (self.get(k) for k in keys if k in self)
        else:
            for place in self._shape.present(keys):
                yield self._table.value(self._first_row + place)

    def under(self, prefix: str, ending: str = "") -> list[tuple[str, Any]]:
        """Return (rest of the key, value) of every key with this prefix of the index and this ending.

        What was withheld is left out.
        """
        group = self._shape.groups.get(prefix)
        if not group and not self._extra:
            return []
        found = [
            (rest, self._table.value(self._first_row + place))
            for rest, place in (group or {}).items()
            if rest.endswith(ending)
        ]
        found += [
            (k[len(prefix) :], v)
            for k, v in self._extra.items()
            if k.startswith(prefix) and k.endswith(ending) and k not in self._shape.places
        ]
        return [(k, v) for k, v in found if not withheld(v)]
