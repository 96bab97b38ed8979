"""Drafts: cases that were made, not met. Who drafted one, how, and who let it into datasets; part of its provenance.

    "drafted_by": "ann",
    "synthesis": {"case_id": "case-1f0c...", "source_hash": "<sha256>", "method": "template",
                  "dimension": "typos", "value": "many", "version": "1-3f2a...", "seed": 0,
                  "keeps_meaning": true, "model"?: "...", "also_from"?: ["<trace id>"]},
    "promoted": {"by": "bea", "at": "2026-11-20T09:01:00+00:00", "reason": "customers write so"}

A case with `drafted_by` and without `promoted` is a draft wherever its line lies: nothing runs it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from schema.fields import Fields, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping


class Method(StrEnum):
    """How a variant was written."""

    TEMPLATE = "template"
    """By a rule over the text of its source."""
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What a variant was made of, and how."""

    case_id: str
    """Of its source: a case that a person labelled."""
    source_hash: str
    """The content hash of the source as it was."""
    method: Method
    dimension: str
    value: str
    version: str
    """Of the rule, or of what the model was asked."""
    seed: int
    keeps_meaning: bool
    """Whether the right answer to it is that of its source; else nobody knows the right answer yet."""
    model: str | None = None
    also_from: tuple[str, ...] = ()
    """Other traces whose words stand in it: who erases one of them erases it too."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Who let a draft into datasets, when and why."""

    by: str
    at: str
    """ISO 8601, UTC."""
    reason: str


def synthesis_to_json(synthesis: Synthesis) -> dict[str, Any]:
    """Return the JSON object; a model and other traces are named only where there were some."""
    values = asdict(synthesis) | {"also_from": list(synthesis.also_from)}
    return {name: value for name, value in values.items() if name not in ("model", "also_from") or value}


def parse_synthesis(value: Mapping[str, Any]) -> Synthesis:
    """Read how a variant was made.

    Raises:
        ValueError: in words.

    """
    fields = Fields(value, "synthesis")
    spelled = fields.text("method")
    if spelled not in set(Method):
        raise Malformed(f"synthesis: 'method' must be one of {', '.join(Method)}, not {spelled[:40]!r}")
    found = Synthesis(
        case_id=fields.text("case_id"),
        source_hash=fields.text("source_hash"),
        method=Method(spelled),
        dimension=fields.text("dimension"),
        value=fields.text("value"),
        version=fields.text("version"),
        seed=fields.optional_int("seed") or 0,
        keeps_meaning=bool(fields.optional_bool("keeps_meaning")),
        model=fields.optional_text("model"),
        also_from=fields.texts("also_from"),
    )
    fields.close()
    return found


def parse_approval(value: Mapping[str, Any]) -> Approval:
    """Read who let a draft in.

    Raises:
        ValueError: in words.

    """
    fields = Fields(value, "promoted")
    found = Approval(fields.text("by"), fields.text("at"), fields.text("reason"))
    fields.close()
    return found
