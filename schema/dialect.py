"""The table of dialects, `genai.toml`, as typed values.

What each section means is said in the file. Nothing here knows a library: a new dialect is a new entry there.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from schema.span import FinishReason, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

Keys = tuple[str, ...]
"""Attribute keys in order of precedence."""


@dataclass(frozen=True, slots=True)
class KindMark:
    """An attribute that states the kind; values in lower case."""

    key: str
    values: Mapping[str, Kind]
    endings: Mapping[str, Kind]
    """How values end that state a kind; the first that fits decides."""

    def kind(self, value: str) -> Kind | None:
        """Return the kind that a value states, if any."""
        said = value.lower()
        return self.values.get(said) or next((k for end, k in self.endings.items() if said.endswith(end)), None)


@dataclass(frozen=True, slots=True)
class KindPresence:
    """A kind told by which keys are there, where no mark speaks."""

    kind: Kind
    with_any: Keys
    without: Keys


@dataclass(frozen=True, slots=True)
class KindNames:
    """A kind told by how the name begins, within scopes that begin so; the last resort."""

    scope: str
    names: Mapping[str, Kind]


@dataclass(frozen=True, slots=True)
class Operations:
    """How operations are called; `values` in lower case."""

    keys: Keys
    values: Mapping[str, str]
    of_kind: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Providers:
    """OpenTelemetry's well-known provider names and what others call them, in lower case."""

    names: Mapping[str, str]
    suffixes: Keys
    frameworks: frozenset[str]

    def canonical(self, raw: str) -> str | None:
        """Return the well-known name, an unknown provider's own name, or None for a framework."""
        name = raw.strip().lower()
        for suffix in self.suffixes:
            if name.endswith(suffix) and name not in self.names:
                name = name.removesuffix(suffix)
                break
        if not name or name in self.frameworks:
            return None
        return self.names.get(name, name)


@dataclass(frozen=True, slots=True)
class Finish:
    """Finish reasons: keys, and spelling in lower case -> class."""

    keys: Keys
    values: Mapping[str, FinishReason]

    def canonical(self, raw: Any) -> FinishReason | None:
        """Return the class of one spelling; None if unknown."""
        if not isinstance(raw, str):
            return None
        # LangChain and Google print enums as "FinishReason.STOP"
        return self.values.get(raw.strip().rpartition(".")[2].lower())


@dataclass(frozen=True, slots=True)
class Params:
    """Request parameters: prefixes of their keys, spelling -> canonical name, defaults an emitter makes up."""

    prefixes: Keys
    names: Mapping[str, str]
    invented: tuple[tuple[str, Mapping[str, float]], ...]
    """(prefix of the scope name, parameter -> made-up value)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Paths of figures inside usage objects, and which shapes exclude one figure from another."""

    paths: Mapping[str, Keys]
    cache_excluded_by: frozenset[str]
    reasoning_excluded_by: frozenset[str]
    exclusive_input_scopes: Keys
    native_scopes: Keys


@dataclass(frozen=True, slots=True)
class FeedbackKeys:
    """Attributes by which applications report feedback."""

    keys: Keys
    comment_keys: Keys


@dataclass(frozen=True, slots=True)
class Dialects:
    """The whole table."""

    kinds: tuple[KindMark, ...]
    presence: tuple[KindPresence, ...]
    named: tuple[KindNames, ...]
    request_keys: frozenset[str]
    """Keys that hold a whole model request where no mark states the kind."""
    operations: Operations
    columns: Mapping[str, Keys]
    """Canonical or working column -> keys."""
    resource: Mapping[str, Keys]
    placeholders: Mapping[str, frozenset[str]]
    generated_conversation_scopes: Keys
    generated_conversation_keys: Keys
    providers: Providers
    finish: Finish
    params: Params
    content: Mapping[str, Keys]
    tool_result_events: frozenset[str]
    tool_result_fields: Keys
    metadata_columns: Mapping[str, Keys]
    """Column -> members of an object of metadata, in order of precedence."""
    metadata_noise_names: frozenset[str]
    metadata_noise_prefixes: Keys
    usage: Usage
    feedback: FeedbackKeys

    def event_tells_of_span(self, names: pa.Array) -> pa.Array:
        """Return for names of span events or log records whether such a one is read as part of its span."""
        import pyarrow as pa  # noqa: PLC0415 - those who only want the table need no Arrow
        import pyarrow.compute as pc  # noqa: PLC0415 - as above

        of_tools = pc.is_in(names, value_set=pa.array(sorted(self.tool_result_events), pa.string()))
        return pc.or_(pc.starts_with(names, "gen_ai."), of_tools)


@cache
def dialects() -> Dialects:
    """Return the table shipped with the package; read once, immutable."""
    return parse((files("schema") / "genai.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Dialects:
    """Read a table. Raises KeyError or ValueError naming what is wrong: the file is the package's own."""
    t = tomllib.loads(text)
    columns = dict(t["columns"])
    columns |= columns.pop("working")
    return Dialects(
        kinds=tuple(
            KindMark(k["key"], MappingProxyType(_kinds(k["values"])), MappingProxyType(_kinds(k.get("endings", {}))))
            for k in t["kind"]
        ),
        presence=tuple(KindPresence(Kind(p["kind"]), tuple(p["with"]), tuple(p["without"])) for p in t["presence"]),
        named=tuple(KindNames(x["scope"], MappingProxyType(_kinds(x["names"]))) for x in t["named"]),
        request_keys=frozenset(t["request"]["keys"]),
        operations=Operations(
            tuple(t["operation"]["keys"]),
            MappingProxyType(t["operation"]["values"]),
            MappingProxyType(t["operation"]["of_kind"]),
        ),
        columns=_keys(columns),
        resource=_keys(t["resource"]),
        placeholders=MappingProxyType({k: frozenset(v) for k, v in t["placeholders"].items()}),
        generated_conversation_scopes=tuple(t["generated_conversation"]["scopes"]),
        generated_conversation_keys=tuple(t["generated_conversation"]["keys"]),
        providers=Providers(
            MappingProxyType(t["provider"]["names"]),
            tuple(t["provider"]["suffixes"]),
            frozenset(t["provider"]["frameworks"]),
        ),
        finish=Finish(
            tuple(t["finish"]["keys"]),
            MappingProxyType({k: FinishReason(v) for k, v in t["finish"]["values"].items()}),
        ),
        params=Params(
            tuple(t["params"]["prefixes"]),
            MappingProxyType(t["params"]["names"]),
            tuple((i["scope"], MappingProxyType(i["defaults"])) for i in t["params"]["invented"]),
        ),
        content=_keys(t["content"]),
        tool_result_events=frozenset(t["tool_results"]["events"]),
        tool_result_fields=tuple(t["tool_results"]["fields"]),
        metadata_columns=_keys(t["metadata_columns"]),
        metadata_noise_names=frozenset(t["metadata_noise"]["names"]),
        metadata_noise_prefixes=tuple(t["metadata_noise"]["prefixes"]),
        usage=Usage(
            _keys(t["usage"]),
            frozenset(t["usage_excludes"]["cache_from_input"]),
            frozenset(t["usage_excludes"]["reasoning_from_output"]),
            tuple(e["scope"] for e in t["exclusive_input"]),
            tuple(t["native"]["scopes"]),
        ),
        feedback=FeedbackKeys(tuple(t["feedback"]["keys"]), tuple(t["feedback"]["comment_keys"])),
    )


def _keys(section: dict[str, list[str]]) -> Mapping[str, Keys]:
    return MappingProxyType({name: tuple(keys) for name, keys in section.items()})


def _kinds(values: dict[str, str]) -> dict[str, Kind]:
    return {value: Kind(kind) for value, kind in values.items()}
