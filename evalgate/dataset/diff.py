"""What is different between two versions of a dataset. Pure.

Cases are told apart by their ids. What a case says of itself is compared field by field, with the names that the file
has: `input.text`, `expected.output`, `tags`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.files import to_json_line
from schema.case import case_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from schema.case import Case

SECTIONS = ("input", "observed", "expected", "provenance")
"""Objects whose fields are compared one by one."""
DERIVED = "content_hash"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a case; a text as it is, anything else as JSON, None where there was nothing."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class CaseChange:
    """A case that both versions have, and that says something else."""

    case_id: str
    before: Case
    after: Case
    fields: tuple[FieldChange, ...]

    @property
    def is_judged_anew(self) -> bool:
        """Whether what is judged changed, and not only where it came from or what it is grouped by."""
        return self.before.content_hash != self.after.content_hash


@dataclass(frozen=True, slots=True)
class Diff:
    """From one version to another; cases by their ids."""

    added: tuple[Case, ...]
    removed: tuple[Case, ...]
    changed: tuple[CaseChange, ...]
    unchanged: int

    @property
    def is_empty(self) -> bool:
        """Whether both say the same."""
        return not (self.added or self.removed or self.changed)


def diff(before: Iterable[Case], after: Iterable[Case]) -> Diff:
    """Return what was added, removed and changed; the order of lines in a file is no difference."""
    old, new = ({c.case_id: c for c in cases} for cases in (before, after))
    both = sorted(old.keys() & new.keys())
    changed = tuple(
        CaseChange(i, old[i], new[i], tuple(_fields(old[i], new[i])))
        for i in both
        if old[i] is not new[i] and old[i] != new[i]  # versions share the cases of lines that did not change
    )
    return Diff(
        added=tuple(new[i] for i in sorted(new.keys() - old.keys())),
        removed=tuple(old[i] for i in sorted(old.keys() - new.keys())),
        changed=changed,
        unchanged=len(both) - len(changed),
    )


def _fields(before: Case, after: Case) -> Iterator[FieldChange]:
    old, new = (_flat(case_to_json(c)) for c in (before, after))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield FieldChange(name, _shown(old.get(name)), _shown(new.get(name)))


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        if name in SECTIONS:
            flat |= {f"{name}.{own}": each for own, each in inner.items()}
        elif name != DERIVED:
            flat[name] = inner
    return flat


def _shown(value: Any) -> str | None:
    if value is None or value in ([], {}):
        return None
    return value if isinstance(value, str) else to_json_line(value)
