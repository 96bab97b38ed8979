"""A case: one input that real traffic taught us, and what is known about a right answer to it.

    {"case_id": "case-1f0c...", "content_hash": "<sha256>",
     "input": {"messages": [{"role", "parts"}...], "text": "..."},
     "observed": {"output": "...", "tool_calls": [{"name", "arguments", "result"?, "error"?}...],
                  "finish_reason"?, "input_tokens"?, "output_tokens"?, "duration_ms"?},
     "expected": {"output": "..." or null, "tool_calls"?: [{"name", "arguments"}...]},
     "verdict": "bad", "failure_mode": "policy_hallucination", "feature": null, "tags": [], "cluster"?: "...",
     "provenance": {"trace_id", "span_id", "annotation_id", "annotator", "labelled_at", "service", "start_time",
                    "sample_weight", "run_id"?, "drafted_by"?, "synthesis"?, "promoted"?}}

`verdict` is a person's word on the observed output. Session and user stay in the trace; a case is a file that is
committed and read by many. A case may be written by hand: `{"input": "Where is my parcel?"}` is one, and so is
`{"input": {"messages": [{"role": "user", "content": "Where is my parcel?"}]}}` (schema/message.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from schema.draft import Approval, Synthesis, parse_approval, parse_synthesis, synthesis_to_json
from schema.fields import Fields
from schema.hashing import content_hash, short_hash
from schema.message import canonical_message
from schema.verdict import Verdict, failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


ONLY_WHERE_KNOWN = frozenset({"run_id", "drafted_by", "synthesis", "promoted"})
"""Of provenance, what a line has only where there is something to say."""


@dataclass(frozen=True, slots=True)
class CaseInput:
    """What the application was asked; messages in the canonical form of `normalized/1`, system text left out."""

    messages: tuple[Mapping[str, Any], ...]
    text: str | None
    """The last user message as plain text."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the application did in production."""

    output: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """{name, arguments, result?, error?}, in the order of the calls. A call without a result cannot be replayed."""
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a case came from. All empty for a case that was written by hand."""

    trace_id: str | None = None
    span_id: str | None = None
    annotation_id: str | None = None
    annotator: str | None = None
    labelled_at: str | None = None
    """UTC with microseconds: two compare as text."""
    """ISO 8601, UTC."""
    service: str | None = None
    start_time: str | None = None
    """ISO 8601, UTC: when the trace began."""
    sample_weight: float | None = None
    """1 / the probability with which the trace was kept for review."""
    run_id: str | None = None
    """The run whose failing output this case observed."""
    drafted_by: str | None = None
    """Who had it made: nobody met it in production, or judged it there."""
    synthesis: Synthesis | None = None
    """How it was made of another case; None: it was not."""
    promoted: Approval | None = None
    """Who let the draft in."""

    @property
    def is_variant(self) -> bool:
        """Whether it was synthesized; what a run failed of a variant is no variant, but what the run gave."""
        return self.synthesis is not None and self.run_id is None

    @property
    def traces(self) -> frozenset[str]:
        """Every trace whose words stand in the case."""
        own = (self.trace_id,) if self.trace_id else ()
        return frozenset((*own, *(self.synthesis.also_from if self.synthesis else ())))

    @property
    def is_draft(self) -> bool:
        """Whether it was made and nobody has let it in."""
        return self.drafted_by is not None and self.promoted is None


@dataclass(frozen=True, slots=True)
class Case:
    """One case."""

    case_id: str
    input: CaseInput
    observed: Observed = Observed()
    expected_output: str | None = None
    expected_tool_calls: tuple[Mapping[str, Any], ...] | None = None
    """{name, arguments}, in the order that is right; None: nobody says, () : none is right."""
    verdict: Verdict | None = None
    failure_mode: str | None = None
    feature: str | None = None
    tags: tuple[str, ...] = ()
    cluster: str | None = None
    """What it shares with the cases it is not independent of: a session, named by a hash, or a template."""
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def content_hash(self) -> str:
        """SHA-256 of what is judged: input, expected output, verdict and failure mode; not of where it came from."""
        return content_hash(
            {
                "input": _input_json(self.input),
                "expected": _expected_json(self),
                "verdict": self.verdict,
                "failure_mode": self.failure_mode,
            }
        )

    @property
    def context_hash(self) -> str:
        """SHA-256 of what a gate counts and groups the case by: cluster, feature, tags, and what production did."""
        return content_hash(
            {
                "cluster": self.cluster,
                "feature": self.feature,
                "tags": sorted(self.tags),
                "output": self.observed.output,
                "tool_calls": [dict(c) for c in self.observed.tool_calls],
            }
        )


class Hashed(Protocol):
    """A case, or its result."""

    @property
    def case_id(self) -> str:
        """The case's id."""

    @property
    def content_hash(self) -> str:
        """Of what is judged."""

    @property
    def context_hash(self) -> str:
        """Of what it is counted and grouped by."""


def case_id_of(trace_id: str, span_id: str) -> str:
    """Return the id of the case made from a trace, or from one span of it: the same each time."""
    return "case-" + hashlib.sha256(f"{trace_id}:{span_id}".encode("ascii")).hexdigest()[:16]


def dataset_version(cases: Iterable[Hashed]) -> str:
    """Return the version of a set of cases; the order does not matter."""
    return short_hash(sorted((c.case_id, c.content_hash, c.context_hash) for c in cases))


def case_to_json(case: Case) -> dict[str, Any]:
    """Return the JSON object of a case; keys in the order people read them."""
    return {
        "case_id": case.case_id,
        "input": _input_json(case.input),
        "observed": _observed_json(case.observed),
        "expected": _expected_json(case),
        "verdict": case.verdict,
        "failure_mode": case.failure_mode,
        "feature": case.feature,
        "tags": list(case.tags),
        **({"cluster": case.cluster} if case.cluster else {}),
        "provenance": provenance_to_json(case.provenance),
        "content_hash": case.content_hash,
    }


def parse_case(value: Any) -> Case:
    """Read a case. Its content hash is computed anew: files are edited by people.

    Raises:
        ValueError: in words for the author of the line.

    """
    fields = Fields(value, "a case")
    observed = Fields(fields.mapping("observed"), "observed")
    expected = Fields(fields.mapping("expected"), "expected")
    provenance = Fields(fields.mapping("provenance"), "provenance")
    spelled = fields.optional_text("verdict")
    fields.any("content_hash")
    asked = _parse_input(fields.any("input"))
    case_id = fields.optional_text("case_id")
    case = Case(
        case_id=case_id or "case-" + short_hash(_input_json(asked)),
        input=asked,
        observed=Observed(
            output=observed.optional_text("output"),
            tool_calls=observed.objects("tool_calls"),
            finish_reason=observed.optional_text("finish_reason"),
            input_tokens=observed.optional_int("input_tokens"),
            output_tokens=observed.optional_int("output_tokens"),
            duration_ms=observed.optional_number("duration_ms"),
        ),
        expected_output=expected.optional_text("output"),
        expected_tool_calls=None if expected.any("tool_calls") is None else expected.objects("tool_calls"),
        verdict=Verdict(spelled) if spelled else None,
        failure_mode=failure_mode_of(fields.optional_text("failure_mode")),
        feature=fields.optional_text("feature"),
        tags=fields.texts("tags"),
        cluster=fields.optional_text("cluster"),
        provenance=parse_provenance(provenance),
    )
    for part in (fields, observed, expected, provenance):
        part.close()
    return case


def parse_provenance(fields: Fields) -> Provenance:
    """Read where a case came from; the caller closes the fields."""
    return Provenance(
        trace_id=fields.optional_text("trace_id"),
        span_id=fields.optional_text("span_id"),
        annotation_id=fields.optional_text("annotation_id"),
        annotator=fields.optional_text("annotator"),
        labelled_at=fields.optional_moment("labelled_at"),
        service=fields.optional_text("service"),
        start_time=fields.optional_text("start_time"),
        sample_weight=fields.optional_number("sample_weight"),
        run_id=fields.optional_text("run_id"),
        drafted_by=fields.optional_text("drafted_by"),
        synthesis=parse_synthesis(made) if (made := fields.mapping("synthesis")) else None,
        promoted=parse_approval(let_in) if (let_in := fields.mapping("promoted")) else None,
    )


def provenance_to_json(provenance: Provenance) -> dict[str, Any]:
    """Return the JSON object of where a case came from; a run and what drafts have only where there was one."""
    values = asdict(provenance)
    if provenance.synthesis is not None:
        values["synthesis"] = synthesis_to_json(provenance.synthesis)
    return {name: value for name, value in values.items() if value is not None or name not in ONLY_WHERE_KNOWN}


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text parts of a canonical message, joined by newlines."""
    parts = message.get("parts") or ()
    return "\n".join(str(p["content"]) for p in parts if p.get("type") == "text" and p.get("content") is not None)


def _observed_json(observed: Observed) -> dict[str, Any]:
    known = {
        "finish_reason": observed.finish_reason,
        "input_tokens": observed.input_tokens,
        "output_tokens": observed.output_tokens,
        "duration_ms": observed.duration_ms,
    }
    return {
        "output": observed.output,
        "tool_calls": [dict(c) for c in observed.tool_calls],
        **{name: value for name, value in known.items() if value is not None},
    }


def _expected_json(case: Case) -> dict[str, Any]:
    calls = case.expected_tool_calls
    return {"output": case.expected_output, **({} if calls is None else {"tool_calls": [dict(c) for c in calls]})}


def _input_json(asked: CaseInput) -> dict[str, Any]:
    return {"messages": [dict(m) for m in asked.messages], "text": asked.text}


def _parse_input(value: Any) -> CaseInput:
    if isinstance(value, str) and value.strip():
        return CaseInput(({"role": "user", "parts": [{"type": "text", "content": value}]},), value)
    if value is None or value == "":
        raise ValueError("a case lacks 'input'")
    fields = Fields({"messages": value} if isinstance(value, list) else value, "input")
    messages = tuple(canonical_message(m) for m in fields.objects("messages"))
    text = fields.optional_text("text")
    fields.close()
    if not messages and not text:
        raise ValueError("input has neither messages nor text")
    if text is None:
        text = next((message_text(m) for m in reversed(messages) if m["role"] == "user"), None)
    return CaseInput(messages, text)
