"""Labelled failures, and the order for drafts of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalgate.synthesize.dimensions import choose, read_catalogue
from evalgate.synthesize.make import Order
from schema.case import Case, Provenance, parse_case
from schema.draft import Method, Synthesis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.synthesize.dimensions import Catalogue

SOFA = (
    "I bought a sofa on 2026-10-03 for $1,200. It arrived broken. "
    "Can I return order ORD-8812 within 30 days, Anna from London asked?"
)
PARAPHRASES = (
    "My sofa came in pieces. The invoice says 2026-10-03 and $1,200; is sending back ORD-8812 possible in 30 days?",
    "Broken on arrival: ORD-8812, paid $1,200 on 2026-10-03. Do the 30 days for returns apply to me?",
)
"""Of SOFA, with its facts."""
TABLE = "Wie lange kann ich den Tisch zurückgeben? Ich habe die Rechnung 4711 verloren."


def failure(number: int, text: str = SOFA, **fields: Any) -> Case:
    """Return a case that was labelled bad, with a correction."""
    return parse_case(
        {
            "case_id": f"case-{number}",
            "input": text,
            "verdict": "bad",
            "failure_mode": "policy_hallucination",
            "observed": {"output": "90 days", "tool_calls": [{"name": "look_up", "arguments": {}, "result": "x"}]},
            "expected": {"output": "30 days."},
            "provenance": {"trace_id": f"{number:032x}", "annotator": "ann", "sample_weight": 10.0},
            **fields,
        }
    )


def order_of(catalogue: Catalogue, names: str | None = None, *, count: int = 1000, seed: int = 0) -> Order:
    """Return an order for drafts along these dimensions, by default along those that need no model."""
    dimensions = choose(catalogue, names)
    kept = tuple(d for d in dimensions if names is not None or not d.needs_model)
    return Order(kept, count, seed, "ann")


def shipped() -> Catalogue:
    """Return the dimensions of the product."""
    return read_catalogue()


def texts(drafts: Sequence[Case]) -> list[str]:
    """Return what drafts ask."""
    return [d.input.text or "" for d in drafts]


MADE = Synthesis("case-1", "hash", Method.TEMPLATE, "typos", "few", "1", 0, keeps_meaning=True)


def plain(number: int, **provenance: object) -> Case:
    """Return a case that nobody judged, with this provenance."""
    return replace(
        parse_case({"case_id": f"case-{number}", "input": f"Question {number}?", "failure_mode": "rude"}),
        provenance=Provenance(**provenance),  # type: ignore[arg-type]  # fields by name
    )


def draft(number: int, by: str = "ann") -> Case:
    """Return a variant of case-1 that this person had made."""
    return replace(plain(number, drafted_by=by, synthesis=MADE, trace_id="ab" * 16), cluster="case-1")
