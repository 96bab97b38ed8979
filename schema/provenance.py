"""The chain of a case: the issue it belongs to, the annotations that made it, the spans they were said of; hashed.

    {"case_id": "case-1f0c...", "case": "<sha256 of the case's line>", "status": "promoted",
     "promoted": {"by": "ann", "at": "2026-11-20T09:01:00+00:00"},
     "issue": {"id": 3, "failure_mode": "policy_hallucination"},
     "annotations": [{"annotation_id", "annotator", "at", "verdict", "failure_mode", "hash"}],
     "spans": [{"trace_id", "span_id", "hash"}],
     "hash": "<sha256 over all of the above>"}

Content is hashed, never copied: the chain is a file that is committed. A hash says that nothing has changed since the
chain was written; it is no signature, so who may write the file may write it anew. Git keeps who did.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from schema.case import case_to_json
from schema.fields import Fields, Malformed
from schema.hashing import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from schema.case import Case

PROMOTED = "promoted"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Promotion:
    """Who let the case into datasets."""

    by: str
    at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class IssueLink:
    """The issue of the case's failure mode."""

    id: int
    failure_mode: str


@dataclass(frozen=True, slots=True)
class AnnotationLink:
    """An annotation that stood when the chain was written."""

    annotation_id: str
    annotator: str
    at: str
    """ISO 8601, UTC."""
    verdict: str
    failure_mode: str | None
    hash: str
    """Over these and over what is not copied: trace, span, corrected output, comment."""


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A span as it was stored when the chain was written."""

    trace_id: str
    span_id: str
    hash: str


@dataclass(frozen=True, slots=True)
class Chain:
    """What a case rests on."""

    case_id: str
    case: str
    """Hash of everything that the case's line says."""
    status: str
    promoted: Promotion | None
    issue: IssueLink | None
    annotations: tuple[AnnotationLink, ...]
    spans: tuple[SpanLink, ...]

    @property
    def hash(self) -> str:
        """The head: a hash over every link."""
        return content_hash(asdict(self))


def case_hash(case: Case) -> str:
    """Return the hash of everything that a case's line says, where it came from included."""
    return content_hash(case_to_json(case))


def annotation_hash(row: Mapping[str, Any]) -> str:
    """Return the hash of an annotation as the database has it; `names` are what it must have."""
    names = (
        "annotation_id",
        "at",
        "trace_id",
        "span_id",
        "verdict",
        "failure_mode",
        "corrected_output",
        "comment",
        "annotator",
        "severity",
        "anchor",
        "queue",
        "role",
    )
    return content_hash({name: row[name] for name in names})


def span_hash(row: Mapping[str, Any]) -> str:
    """Return the hash of a span's content as the database has it: name, times, input, output and tool call."""
    names = (
        "name",
        "start_unix_ns",
        "duration_ns",
        "input_messages",
        "output_messages",
        "input_text",
        "output_text",
        "tool_name",
        "tool_arguments",
        "tool_result",
    )
    return content_hash({name: row[name] for name in names})


def head_hash(chains: Iterable[Chain]) -> str:
    """Return one hash over the heads of several chains, whatever their order."""
    return content_hash(sorted((c.case_id, c.hash) for c in chains))


def chain_to_json(chain: Chain) -> dict[str, Any]:
    """Return the JSON object of a chain, its hash last."""
    return {**asdict(chain), "hash": chain.hash}


def parse_chain(value: Any) -> tuple[Chain, str]:
    """Read a chain; return it with the hash that stands in the file, which the caller compares.

    Raises:
        ValueError: in words for who reads the file.

    """
    fields = Fields(value, "a chain")
    chain = Chain(
        case_id=fields.text("case_id"),
        case=fields.text("case"),
        status=fields.text("status"),
        promoted=_read(fields.any("promoted"), "promoted", lambda f: Promotion(f.text("by"), f.text("at"))),
        issue=_read(fields.any("issue"), "issue", lambda f: IssueLink(_whole(f, "id"), f.text("failure_mode"))),
        annotations=tuple(_must(a, "an annotation", _annotation) for a in fields.sequence("annotations")),
        spans=tuple(_must(s, "a span", _span) for s in fields.sequence("spans")),
    )
    spoken = fields.text("hash")
    fields.close()
    return chain, spoken


def _annotation(f: Fields) -> AnnotationLink:
    return AnnotationLink(
        annotation_id=f.text("annotation_id"),
        annotator=f.optional_text("annotator") or "",
        at=f.text("at"),
        verdict=f.text("verdict"),
        failure_mode=f.optional_text("failure_mode"),
        hash=f.text("hash"),
    )


def _span(f: Fields) -> SpanLink:
    return SpanLink(f.text("trace_id"), f.text("span_id"), f.text("hash"))


def _whole(f: Fields, name: str) -> int:
    number = f.optional_int(name)
    if number is None:
        raise Malformed(f"an issue lacks {name!r}")
    return number


def _must(value: Any, what: str, read: Callable[[Fields], T]) -> T:
    fields = Fields(value, what)
    item = read(fields)
    fields.close()
    return item


def _read(value: Any, what: str, read: Callable[[Fields], T]) -> T | None:
    return None if value is None else _must(value, what, read)
