"""What failure modes are called: the words of labels, what they mean by now, and what a change of it comes to. Pure.

A label keeps the word that was said. A change says what a word means from now on, or, for labels that were split off,
what those mean. No row of a change leads to a mode that another row renames: whoever writes a change follows the
chains, in further rows of it. Of several rows of one word, or of one label, the latest counts, and one of a label
before one of its word. So a change is taken back by leaving its rows out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Action(StrEnum):
    """What a change does."""

    RENAMED = "renamed"
    """The issue keeps its number."""
    MERGED = "merged"
    """Its labels belong to another issue, which keeps its number."""
    SPLIT = "split"
    """Some of its labels belong to another issue."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one word, or some labels, mean from a change on."""

    from_mode: str
    to_mode: str
    from_issue: int
    issue: int
    annotation_ids: tuple[str, ...] = ()
    """Empty: every label that says from_mode."""
    is_stated: bool = True
    """False: it follows from the row that a person asked for."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the taxonomy, as it was recorded."""

    number: int
    action: Action
    at: str
    """ISO 8601, UTC."""
    actor: str
    reason: str
    rows: tuple[Row, ...]
    """The stated one first."""
    is_undone: bool = False

    @property
    def stated(self) -> Row:
        """Return what a person asked for."""
        return self.rows[0]

    @property
    def modes(self) -> frozenset[str]:
        """Return every name that it is about."""
        return frozenset(name for r in self.rows for name in (r.from_mode, r.to_mode))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a word or a label means by now."""

    mode: str
    issue: int


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The failure modes of one tenant, and how they came to be called so."""

    numbers: Mapping[str, int]
    """The issue of each mode that stands for itself."""
    changes: tuple[Change, ...] = ()
    """Undone ones, too; the earliest first."""
    last_number: int = 0
    """Of everything that was recorded, an undo included."""
    words: Mapping[str, Meaning] = field(default_factory=lambda: MappingProxyType({}))
    """Words that changes speak of."""
    labels: Mapping[str, Meaning] = field(default_factory=lambda: MappingProxyType({}))
    """Labels that were split off, by id."""

    def means(self, word: str) -> str:
        """Return what a word means by now."""
        found = self.words.get(word)
        return word if found is None else found.mode

    def aliases(self, mode: str) -> tuple[str, ...]:
        """Return the other words that mean a mode, sorted."""
        return tuple(sorted(w for w, m in self.words.items() if m.mode == mode and w != mode))


def taxonomy(numbers: Mapping[str, int], changes: Sequence[Change], last_number: int) -> Taxonomy:
    """Return the taxonomy that recorded changes make."""
    words: dict[str, Meaning] = {}
    labels: dict[str, Meaning] = {}
    for row in (r for c in changes if not c.is_undone for r in c.rows):
        meaning = Meaning(row.to_mode, row.issue)
        if row.annotation_ids:
            labels.update(dict.fromkeys(row.annotation_ids, meaning))
        else:
            words[row.from_mode] = meaning
    return Taxonomy(dict(numbers), tuple(changes), last_number, words, labels)


def rename(known: Taxonomy, old: str, new: str) -> tuple[Row, ...]:
    """Return the rows by which a mode is called something else.

    Raises:
        BadInput: there is no such mode, or the new name is that of another, or was.

    """
    number = _number(known, old)
    if old == new:
        raise BadInput(f"{old!r} is called so already")
    if new in known.numbers:
        raise BadInput(
            f"{new!r} is issue {known.numbers[new]} already. To make the two one: evalgate modes merge {number} "
            f"{known.numbers[new]}"
        )
    if known.means(new) not in (new, old):
        raise BadInput(
            f"{new!r} means {known.means(new)!r} since it was renamed or merged, and labels say so: take another name"
        )
    return _leading_to(known, old, Meaning(new, number), number)


def merge(known: Taxonomy, old: str, into: str) -> tuple[Row, ...]:
    """Return the rows by which the labels of a mode belong to another.

    Raises:
        BadInput: there is no such mode, or the two are one.

    """
    number, target = _number(known, old), _number(known, into)
    if old == into:
        raise BadInput(f"issue {number} cannot be merged into itself")
    return _leading_to(known, old, Meaning(into, target), number)


def split(known: Taxonomy, mode: str, annotation_ids: Iterable[str], into: Meaning) -> tuple[Row, ...]:
    """Return the row by which some labels of a mode belong to another.

    Raises:
        BadInput: there is no such mode, or the two are one.

    """
    number = _number(known, mode)
    if into.mode == mode:
        raise BadInput(f"{mode!r} cannot be split into itself: say another name")
    return (Row(mode, into.mode, number, into.issue, tuple(sorted(annotation_ids))),)


def undoable(known: Taxonomy, number: int | None) -> Change:
    """Return the change that may be taken back: the latest, or the one named where nothing later rests on it.

    Raises:
        BadInput: there is none, it was taken back before, or a later one is about the same modes.

    """
    standing = [c for c in known.changes if not c.is_undone]
    if number is None:
        if not standing:
            raise BadInput("there is no change of failure modes to take back")
        return standing[-1]
    found = next((c for c in known.changes if c.number == number), None)
    if found is None:
        some = ", ".join(str(c.number) for c in standing[-10:]) or "none"
        raise BadInput(f"there is no change {number}. Those that stand: {some} (evalgate modes list --changes)")
    if found.is_undone:
        raise BadInput(f"change {number} was taken back before")
    for later in standing:
        if later.number > number and later.modes & found.modes:
            raise BadInput(
                f"change {later.number} is about the same modes and came later: take that back first, "
                f"evalgate modes undo {later.number}"
            )
    return found


def _number(known: Taxonomy, mode: str) -> int:
    try:
        return known.numbers[mode]
    except KeyError:
        if known.means(mode) != mode:
            raise BadInput(f"{mode!r} means {known.means(mode)!r} by now: it was renamed or merged") from None
        some = ", ".join(sorted(known.numbers)[:10]) or "none"
        raise BadInput(f"there is no failure mode {mode!r}. Known: {some}") from None


def _leading_to(known: Taxonomy, old: str, to: Meaning, number: int) -> tuple[Row, ...]:
    """Return the row that was asked for, and those of all words and labels that mean the old mode by now."""
    rows = [Row(w, to.mode, number, to.issue, is_stated=False) for w in known.aliases(old)]
    if split_off := tuple(sorted(i for i, m in known.labels.items() if m.mode == old)):
        rows.append(Row(old, to.mode, number, to.issue, split_off, is_stated=False))
    return (Row(old, to.mode, number, to.issue), *sorted(rows, key=lambda r: (r.from_mode, bool(r.annotation_ids))))
