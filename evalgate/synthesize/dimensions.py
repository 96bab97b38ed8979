"""What may be varied: dimensions and their values, read from YAML; ours ship in dimensions.yaml.

version: 1
dimensions:
  NAME:
    about: what it varies
    keeps_meaning: true             # the right answer to a variant is that of its source
    values:
      NAME: {one of the kinds below}

frame:    {LANGUAGE: {before: TEXT, after: TEXT}}   texts round the message; with `style: lower|spoken` on the message
typos:    SHARE          of the words, above 0 and up to 1
order:    backwards | last_first                    of sentences
numbers:  next | tenfold
days:     DAYS           by which dates are moved
entities: swapped
missing:  fact | first_sentence | last_sentence | ending
another:  {LANGUAGE: {before: TEXT}}                another case's request comes behind the message
history:  none | {LANGUAGE: [[USER, ASSISTANT], …]} what was said before
ask:      INSTRUCTION                               to a model
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import yaml

from evalgate.errors import BadInput
from evalgate.files import read_text
from schema.fields import Fields, Malformed, did_you_mean, json_name
from schema.hashing import short_hash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE: Final = "dimensions.yaml"
MAX_TEXT_CHARS: Final = 2_000
"""Of one frame or instruction."""
MAX_DIMENSIONS: Final = 100
MAX_VALUES: Final = 50
NAME_CHARS: Final = 40


class Kind(StrEnum):
    """How a value varies a message."""

    FRAME = "frame"
    TYPOS = "typos"
    ORDER = "order"
    NUMBERS = "numbers"
    DAYS = "days"
    ENTITIES = "entities"
    MISSING = "missing"
    ANOTHER = "another"
    HISTORY = "history"
    ASK = "ask"


WORDS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        Kind.ORDER: ("backwards", "last_first"),
        Kind.NUMBERS: ("next", "tenfold"),
        Kind.ENTITIES: ("swapped",),
        Kind.MISSING: ("fact", "first_sentence", "last_sentence", "ending"),
    }
)
"""Kinds whose setting is one of a few words."""
STYLES: Final = ("lower", "spoken")
NO_HISTORY: Final = "none"


@dataclass(frozen=True, slots=True)
class Frame:
    """Texts round a message."""

    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """One way to vary a message; of its settings those of its kind are set."""

    name: str
    kind: Kind
    word: str = ""
    """One of WORDS, or the instruction to a model."""
    share: float = 0.0
    days: int = 0
    style: str = ""
    frames: Mapping[str, Frame] = field(default_factory=dict)
    """By language."""
    turns: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """By language: what the user said and was told; empty: nothing was said before."""

    @property
    def version(self) -> str:
        """Hash of all that it says."""
        frames = {k: [f.before, f.after] for k, f in self.frames.items()}
        turns = {k: [list(t) for t in ts] for k, ts in self.turns.items()}
        return short_hash([self.kind, self.word, self.share, self.days, self.style, frames, turns])


@dataclass(frozen=True, slots=True)
class Dimension:
    """What is varied, and its values."""

    name: str
    about: str
    keeps_meaning: bool
    values: tuple[Value, ...]

    @property
    def needs_model(self) -> bool:
        """Whether all of its values ask a model."""
        return all(v.kind is Kind.ASK for v in self.values)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the rules know."""

    version: int
    dimensions: tuple[Dimension, ...]
    languages: Mapping[str, frozenset[str]]
    entities: tuple[tuple[str, ...], ...]


def read_catalogue() -> Catalogue:
    """Return what the product ships."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    return Catalogue(
        version=int(document["version"]),
        dimensions=parse_dimensions(document["dimensions"]),
        languages={name: frozenset(words) for name, words in document["languages"].items()},
        entities=tuple(tuple(words) for words in document["entities"].values()),
    )


def choose(catalogue: Catalogue, wanted: str | None) -> tuple[Dimension, ...]:
    """Return the dimensions that are named (`a,b`), those of a file (with a `.` or a `/` in its name), or all.

    Raises:
        BadInput: there is no such dimension, or the file is not what it should be.

    """
    if wanted is None:
        return catalogue.dimensions
    if "." in wanted or "/" in wanted:
        from pathlib import Path  # noqa: PLC0415 - a file is named seldom

        return read_dimensions(Path(wanted))
    known = {d.name: d for d in catalogue.dimensions}
    chosen = []
    for name in dict.fromkeys(n.strip() for n in wanted.split(",") if n.strip()):
        if name not in known:
            raise BadInput(
                f"there is no dimension {name!r}.{did_you_mean(name, known)} There are: {', '.join(known)}; or name a "
                "file of your own, such as dimensions.yaml"
            )
        chosen.append(known[name])
    if not chosen:
        raise BadInput(f"--dimensions names none. There are: {', '.join(known)}")
    return tuple(chosen)


def read_dimensions(path: Path) -> tuple[Dimension, ...]:
    """Read a file of dimensions.

    Raises:
        BadInput: it cannot be read, or is not what it should be.

    """
    try:
        fields = Fields(yaml.safe_load(read_text(path)), "the file")
        fields.any("version")
        said = fields.mapping("dimensions")
        fields.close()
        dimensions = parse_dimensions(said)
    except yaml.YAMLError as e:
        raise BadInput(f"{path} is not YAML: {' '.join(str(e).split())}") from None
    except ValueError as e:
        raise BadInput(f"{path}: {e}") from None
    except RecursionError:
        raise BadInput(f"{path} is nested too deep") from None
    return dimensions


def parse_dimensions(value: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Read dimensions.

    Raises:
        ValueError: in words for their author.

    """
    if not 0 < len(value) <= MAX_DIMENSIONS:
        raise Malformed(f"'dimensions' must have 1 to {MAX_DIMENSIONS} entries, not {len(value)}")
    return tuple(_dimension(_name(name), inner) for name, inner in value.items())


def _dimension(name: str, value: Any) -> Dimension:
    fields = Fields(value, f"dimension {name}")
    keeps = fields.optional_bool("keeps_meaning")
    if keeps is None:
        raise Malformed(
            f"dimension {name} lacks 'keeps_meaning': whether the right answer to a variant is that of its source"
        )
    values = fields.mapping("values")
    if not 0 < len(values) <= MAX_VALUES:
        raise Malformed(f"dimension {name}: 'values' must have 1 to {MAX_VALUES} entries, not {len(values)}")
    found = Dimension(
        name,
        fields.optional_text("about") or "",
        keeps,
        tuple(_value(f"{name}={_name(n)}", str(n), inner) for n, inner in values.items()),
    )
    fields.close()
    return found


def _value(what: str, name: str, value: Any) -> Value:
    fields = Fields(value, what)
    said = [k for k in Kind if fields.any(k) is not None]
    if len(said) != 1:
        raise Malformed(f"{what} must have one of {', '.join(Kind)}; it has {', '.join(said) or 'none'}")
    (kind,) = said
    word = share = days = None
    frames: dict[str, Frame] = {}
    turns: dict[str, tuple[tuple[str, str], ...]] = {}
    match kind:
        case Kind.FRAME | Kind.ANOTHER:
            frames = {lang: _frame(f"{what}, {lang}", f) for lang, f in fields.mapping(kind).items()}
        case Kind.TYPOS:
            share = fields.optional_number(kind) or 0.0
            if not 0 < share <= 1:
                raise Malformed(f"{what}: 'typos' is a share of the words, above 0 and up to 1, not {share:g}")
        case Kind.DAYS:
            days = fields.optional_int(kind)
        case Kind.HISTORY if fields.any(kind) != NO_HISTORY:
            turns = {lang: _turns(f"{what}, {lang}", t) for lang, t in fields.mapping(kind).items()}
        case Kind.HISTORY:
            word = NO_HISTORY
        case Kind.ASK:
            word = _bounded(what, fields.text(kind))
        case _:
            word = fields.text(kind)
            if word not in WORDS[kind]:
                raise Malformed(f"{what}: {kind!s} is one of {', '.join(WORDS[kind])}, not {word[:NAME_CHARS]!r}")
    style = fields.optional_text("style") or ""
    if style and (style not in STYLES or kind is not Kind.FRAME):
        raise Malformed(f"{what}: 'style' is one of {', '.join(STYLES)}, and stands beside 'frame'")
    fields.close()
    return Value(name, kind, word or "", share or 0.0, days or 0, style, frames, turns)


def _frame(what: str, value: Any) -> Frame:
    fields = Fields(value, what)
    frame = Frame(*(_bounded(what, fields.optional_text(n) or "") for n in ("before", "after")))
    fields.close()
    if not (frame.before or frame.after).strip():
        raise Malformed(f"{what}: a frame has 'before', 'after' or both")
    return frame


def _turns(what: str, value: Any) -> tuple[tuple[str, str], ...]:
    pairs = value if isinstance(value, list) else []
    if not pairs or not all(isinstance(p, list) and len(p) == 2 and all(isinstance(t, str) for t in p) for p in pairs):
        raise Malformed(f"{what}: 'history' is a list of [user, assistant], two texts each")
    return tuple((_bounded(what, user), _bounded(what, assistant)) for user, assistant in pairs)


def _bounded(what: str, text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise Malformed(f"{what}: a text has {len(text)} characters; the limit is {MAX_TEXT_CHARS}")
    return text


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise Malformed(f"a name must be a string, not {json_name(name)}: put it in quotes")
    if not 0 < len(name) <= NAME_CHARS or not all(c.isalnum() or c in "_-" for c in name):
        raise Malformed(
            f"{name[:NAME_CHARS]!r} cannot name a dimension or a value: up to {NAME_CHARS} letters, digits, '_' and '-'"
        )
    return name
