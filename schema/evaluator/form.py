"""Forms: one declaration of an object's fields, from which it is read, written and described to an editor.

    Form(ToolCalled, (Field("name", TEXT), Field("arguments", OBJECT, default={})), fixed={"negated": False})

Reading tells every mistake, each with its path in the file, not only the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from schema.evaluator.values import yaml_name
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schema.evaluator.values import Kind

Path = tuple[str | int, ...]
MISSING: Final = object()
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake of a file."""

    path: Path
    """Keys and indexes from the root of the file to what is wrong."""
    message: str


class Mistaken(ValueError):
    """A document has mistakes. `str` has all of them on one line."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("; ".join(m.message for m in mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file one is, and where mistakes are told."""

    path: Path = ()
    mistakes: list[Mistake] = field(default_factory=list)

    def inner(self, *keys: str | int) -> Place:
        """Return a place further in."""
        return Place((*self.path, *keys), self.mistakes)

    def tell(self, message: str) -> None:
        """Note a mistake at this place."""
        self.mistakes.append(Mistake(self.path, message))

    def close(self) -> None:
        """Raise what was told.

        Raises:
            Mistaken: there was something.

        """
        if self.mistakes:
            raise Mistaken(tuple(self.mistakes))


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object."""

    name: str
    kind: Kind
    default: Any = MISSING
    """MISSING: the field must be there."""
    attribute: str = ""
    """What the value class calls it; by default the same."""
    description: str = ""

    @property
    def is_required(self) -> bool:
        """Whether the file must have it."""
        return self.default is MISSING


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one object, and what is made of them."""

    make: Callable[..., Any]
    """Called with the attributes; may raise ValueError where they do not agree."""
    fields: tuple[Field, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that the name of the form says."""
    also: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of what one field says of another."""

    def read(self, value: Any, what: str, place: Place) -> Any:
        """Return what the object says, None after a mistake."""
        if not isinstance(value, dict):
            place.tell(f"{what} must be an object, not {yaml_name(value)}")
            return None
        before = len(place.mistakes)
        attributes = dict(self.fixed)
        for f in self.fields:
            if f.name not in value or (f.is_required and value[f.name] is None):
                if f.is_required:
                    place.tell(f"{what} lacks {f.name!r}")
                continue
            if value[f.name] is None:
                place.inner(f.name).tell(f"{what}: {f.name!r} is empty; give it a value or leave it out")
                continue
            try:
                attributes[f.attribute or f.name] = f.kind.read(value[f.name], place.inner(f.name))
            except ValueError as e:
                place.inner(f.name).tell(f"{what}: {f.name!r} {e}")
        names = {f.name for f in self.fields}
        for key in value:
            if key not in names:
                place.inner(key).tell(f"{what}: unknown field {key!r}.{did_you_mean(str(key), names)}")
        if len(place.mistakes) > before:
            return None
        for f in self.fields:
            if not f.is_required:
                attributes.setdefault(f.attribute or f.name, f.default)
        try:
            return self.make(**attributes)
        except ValueError as e:
            place.tell(f"{what}: {e}")
            return None

    def write(self, item: Any) -> dict[str, Any]:
        """Return the object that `read` makes this of, without what is so by default."""
        written = {}
        for f in self.fields:
            value = getattr(item, f.attribute or f.name)
            if f.is_required or value != f.default:
                written[f.name] = f.kind.write(value)
        return written

    def says(self, item: Any) -> bool:
        """Return whether a value has what the name of the form says."""
        return all(getattr(item, name) == value for name, value in self.fixed.items())

    def schema(self, extra: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """Return the JSON Schema of the object; `extra` are required properties that the caller reads himself."""
        described = {
            f.name: {**f.kind.schema, **({"description": f.description} if f.description else {})} for f in self.fields
        }
        return {
            "type": "object",
            "properties": {**extra, **described},
            "required": [*extra, *(f.name for f in self.fields if f.is_required)],
            "additionalProperties": False,
            **self.also,
        }
