"""What the table of dialects reads: per canonical field the keys, and which attribute keys no rule reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema.dialect import Dialects, dialects

if TYPE_CHECKING:
    from collections.abc import Iterator

GENAI_LOOKING = re.compile(
    r"(gen_ai|llm|ai|openai|anthropic|claude_code|openinference|langfuse|langsmith|traceloop|mlflow|lmnr|logfire"
    r"|pydantic_ai|crew|agent|tool|retrieval|reranker|embedding|prompt|completion|aws\.bedrock|gcp\.vertex|mcp"
    r"|strands|smolagents|haystack|dspy|input|output)[._]"
)
"""How attribute keys of GenAI instrumentations begin."""

INDEX = re.compile(r"\.\d+(?=\.|$)")


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where one canonical field comes from."""

    field: str
    source: str
    """attribute, resource, content (read by a converter), kind, parameter or feedback."""
    keys: tuple[str, ...]
    """In order of precedence; a key that ends with a dot stands for all that begin so."""


def field_rules(table: Dialects | None = None) -> Iterator[FieldRule]:
    """Yield every rule of the table, in its order."""
    t = table or dialects()
    yield FieldRule("span_kind", "kind", tuple(mark.key for mark in t.kinds))
    yield FieldRule("operation", "attribute", t.operations.keys)
    for name, keys in t.columns.items():
        yield FieldRule(name, "attribute", keys)
    for name, keys in t.resource.items():
        yield FieldRule(name, "resource", keys)
    yield FieldRule("finish_reasons", "attribute", t.finish.keys)
    for canonical in dict.fromkeys(t.params.names.values()):
        spellings = [s for s, c in t.params.names.items() if c == canonical]
        yield FieldRule(
            f"request_params.{canonical}", "parameter", tuple(p + s for p in t.params.prefixes for s in spellings)
        )
    for name, keys in t.content.items():
        yield FieldRule(name, "content", keys)
    yield FieldRule("feedback", "feedback", (*t.feedback.keys, *t.feedback.comment_keys))


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The attribute keys that some rule reads."""

    exact: frozenset[str]
    prefixes: tuple[str, ...]

    def reads(self, key: str) -> bool:
        """Tell whether a rule reads this key."""
        return key in self.exact or key.startswith(self.prefixes)


def known_keys(table: Dialects | None = None) -> KnownKeys:
    """Return what the table reads; marks that only tell the kind are read too."""
    t = table or dialects()
    named = {key for rule in field_rules(t) for key in rule.keys}
    named |= {key for p in t.presence for key in (*p.with_any, *p.without)}
    return KnownKeys(
        frozenset(key for key in named if not key.endswith(".")),
        tuple(sorted(key for key in named if key.endswith("."))),
    )


def looks_like_genai(key: str) -> bool:
    """Tell whether a key is one that a GenAI instrumentation would use."""
    return GENAI_LOOKING.match(key) is not None


def pattern(key: str) -> str:
    """Return the key with indices as N, so that `a.0.b` and `a.1.b` are one."""
    return INDEX.sub(".N", key)
