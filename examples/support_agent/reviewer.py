"""What a person who read the flagged conversations said of them: writes evals/labels.jsonl.

    python -m support_agent.reviewer > evals/labels.jsonl

A reviewer sees only what is flagged: what failed, what a customer disliked, and one in ten of the rest. An outage of
the model's provider says nothing about the agent, so it gets no label.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from .traffic import messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .traffic import Line

DEMO_SEED: Final = "9"
BASELINE_RATE: Final = 0.1
_COMMENTS: Final = {
    "policy_hallucination": "The policy says 30 days; it promised 90.",
    "tool_loop": "Asks for the same order until it gives up.",
    "unhandled_tool_error": "The payment service timed out, and it claims that the money is on its way.",
}
_CORRECTED: Final = {"policy_hallucination": "You can return it within 30 days of delivery and get a full refund."}


def labels(seed: str) -> Iterator[dict[str, str]]:
    """Yield the labels of a seed's traffic, one for each flagged conversation that tells something."""
    for _, _, line, trace in messages(seed):
        if line.outcome in _COMMENTS and (_in_sight(line) or _in_baseline(trace)):
            label = {"trace_id": trace[:16], "verdict": "bad", "failure_mode": line.outcome}
            if line.outcome in _CORRECTED:
                label["corrected_output"] = _CORRECTED[line.outcome]
            yield {**label, "comment": _COMMENTS[line.outcome], "annotator": "demo"}
        elif line.outcome == "fine" and _in_baseline(trace):
            yield {"trace_id": trace[:16], "verdict": "good", "annotator": "demo"}


def _in_sight(line: Line) -> bool:
    """Return whether it shows from outside that something went wrong: a failed span, or a thumb down."""
    return line.outcome in ("tool_loop", "unhandled_tool_error") or line.thumb == "down"


def _in_baseline(trace: str) -> bool:
    """Return whether a trace is in the baseline sample.

    The rule of https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/: the low 56 bits of the
    trace id decide.
    """
    return int(trace[-14:], 16) >= round((1 - BASELINE_RATE) * 2**56)


if __name__ == "__main__":
    for label in labels(DEMO_SEED):
        print(json.dumps(label))
