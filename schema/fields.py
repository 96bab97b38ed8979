"""Reads a JSON object field by field, strictly.

Every reading names its field; `close` then rejects what nobody asked for, with the name that was probably meant.
All errors are `Malformed` (a `ValueError`) in words for the person who wrote the file; the caller adds file and line.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

JSON_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
SHOWN_CHARS = 40


class Malformed(ValueError):
    """A document is not what it should be; the message is for its author."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" or, with nothing near, the list of what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(names)}."


def json_name(value: Any) -> str:
    """Return what JSON calls this value."""
    return JSON_NAMES.get(type(value), "a number")


class Fields:
    """One JSON object that is being read."""

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{what} must be an object, not {json_name(value)}")
        self._value: Mapping[str, Any] = value
        self._what = what
        self._read: set[str] = set()

    def any(self, name: str) -> Any:
        """Return the value as it is, None if absent."""
        self._read.add(name)
        return self._value.get(name)

    def text(self, name: str) -> str:
        """Return a string that must be there and say something."""
        value = self.optional_text(name)
        if value is None or not value.strip():
            raise Malformed(f"{self._what} lacks {name!r}")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a string, None if absent or null."""
        text: str | None = self._typed(name, str, "a string")
        return text

    def optional_moment(self, name: str) -> str | None:
        """Return a time as UTC with microseconds, by which two compare as text; None if absent or null.

        A time without a zone is UTC.
        """
        text = self.optional_text(name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise Malformed(
                f"{self._what}: {name!r} must be a time such as 2026-11-20T09:00:00+00:00, not {text[:SHOWN_CHARS]!r}"
            ) from None
        return moment.isoformat(timespec="microseconds")

    def optional_number(self, name: str) -> float | None:
        """Return a finite number, None if absent or null."""
        value = self.any(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) > 1e308:  # noqa: PLR0124 - NaN
            raise Malformed(f"{self._what}: {name!r} must be a number, not {json_name(value)}")
        return float(value)

    def optional_bool(self, name: str) -> bool | None:
        """Return a boolean, None if absent or null."""
        flag: bool | None = self._typed(name, bool, "true or false")
        return flag

    def optional_int(self, name: str) -> int | None:
        """Return a whole number, None if absent or null."""
        value = self.any(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise Malformed(f"{self._what}: {name!r} must be a whole number, not {json_name(value)}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object, empty if absent or null."""
        return self._typed(name, dict, "an object") or {}

    def sequence(self, name: str) -> list[Any]:
        """Return a list, empty if absent or null."""
        return self._typed(name, list, "a list") or []

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings, empty if absent or null."""
        values = self.sequence(name)
        if not all(isinstance(v, str) for v in values):
            raise Malformed(f"{self._what}: {name!r} must be a list of strings")
        return tuple(values)

    def objects(self, name: str) -> tuple[dict[str, Any], ...]:
        """Return a list of objects, empty if absent or null."""
        values = self.sequence(name)
        if not all(isinstance(v, dict) for v in values):
            raise Malformed(f"{self._what}: {name!r} must be a list of objects")
        return tuple(values)

    def close(self) -> None:
        """Reject every field that was not read."""
        for name in self._value:
            if name not in self._read:
                raise Malformed(f"{self._what}: unknown field {name!r}.{did_you_mean(name, self._read)}")

    def _typed(self, name: str, kind: type[Any], words: str) -> Any:
        value = self.any(name)
        if value is not None and not isinstance(value, kind):
            raise Malformed(f"{self._what}: {name!r} must be {words}, not {json_name(value)}")
        return value
