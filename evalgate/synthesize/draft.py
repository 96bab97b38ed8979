"""From a source and what became of its message to the draft of a case. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from schema.case import Case, CaseInput, Provenance, message_text
from schema.draft import Method, Synthesis
from schema.hashing import content_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalgate.synthesize.dimensions import Dimension, Value
    from evalgate.synthesize.rules import Variant

SYNTHETIC: Final = "synthetic"


def draft_of(
    source: Case,
    variant: Variant,
    dimension: Dimension,
    value: Value,
    *,
    seed: int,
    drafted_by: str,
    version: str,
    model: str | None = None,
    another: Case | None = None,
) -> Case:
    """Return the draft. Its id is of its source and of what it asks, so that it is the same each time it is made.

    `another` is the case whose request stands in it too. What was expected of the source is expected of it only where
    the dimension keeps the meaning. Nothing was observed, and nobody has judged anything: it has no verdict, no weight,
    and no tags but those that say how it was made.
    """
    asked = _input(source.input, variant)
    keeps = dimension.keeps_meaning
    made = Synthesis(
        case_id=source.case_id,
        source_hash=source.content_hash,
        method=Method.MODEL if model else Method.TEMPLATE,
        dimension=dimension.name,
        value=value.name,
        version=version,
        seed=seed,
        keeps_meaning=keeps,
        model=model,
        also_from=tuple(sorted(another.provenance.traces - source.provenance.traces)) if another else (),
    )
    where = source.provenance
    return Case(
        case_id=_id(source, asked),
        input=asked,
        expected_output=source.expected_output if keeps else None,
        expected_tool_calls=source.expected_tool_calls if keeps else None,
        failure_mode=source.failure_mode,
        feature=source.feature,
        tags=(SYNTHETIC, f"{SYNTHETIC}:{made.method}", f"{dimension.name}={value.name}"),
        # What is asked in another way is no independent evidence.
        cluster=source.cluster or source.case_id,
        provenance=Provenance(
            # Whoever is erased is erased from what was made of his words too.
            trace_id=where.trace_id,
            span_id=where.span_id,
            service=where.service,
            start_time=where.start_time,
            drafted_by=drafted_by,
            synthesis=made,
        ),
    )


def asked_text(case: Case) -> str:
    """Return all that a case asks, to be compared with others: the one message, or all of them with their roles."""
    messages = case.input.messages
    if len(messages) <= 1:
        return case.input.text or "".join(map(message_text, messages))
    return "\n".join(f"{m.get('role')}: {message_text(m)}" for m in messages)


def user_text(case: Case) -> str:
    """Return the last message of the user, which is what is varied; empty where it has no text."""
    at = _last_user(case.input)
    said = message_text(case.input.messages[at]) if at is not None else ""
    return (said or case.input.text or "").strip()


def has_history(case: Case) -> bool:
    """Return whether anybody said anything before the last message of the user, system texts apart."""
    at = _last_user(case.input)
    return any(m.get("role") != "system" for m in case.input.messages[: at or 0])


def _input(asked: CaseInput, variant: Variant) -> CaseInput:
    at = _last_user(asked)
    said = tuple(
        {"role": r, "parts": [_part(t)]} for u, a in variant.before for r, t in (("user", u), ("assistant", a))
    )
    if at is None:
        return CaseInput((*said, {"role": "user", "parts": [_part(variant.text)]}), variant.text)
    earlier = asked.messages[:at]
    system = tuple(m for m in earlier if m.get("role") == "system")
    rest = tuple(m for m in earlier if m.get("role") != "system" and not variant.is_alone)
    message = _with_text(asked.messages[at], variant.text)
    return CaseInput((*system, *said, *rest, message, *asked.messages[at + 1 :]), variant.text)


def _with_text(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return a message that says this instead; pictures and files of it stay."""
    others = [p for p in message.get("parts") or () if p.get("type") != "text"]
    return {**message, "parts": [_part(text), *others]}


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}


def _last_user(asked: CaseInput) -> int | None:
    return max((i for i, m in enumerate(asked.messages) if m.get("role") == "user"), default=None)


def _id(source: Case, asked: CaseInput) -> str:
    said = content_hash([source.case_id, [dict(m) for m in asked.messages]])
    return "case-" + hashlib.sha256(f"{SYNTHETIC}:{said}".encode("ascii")).hexdigest()[:16]
