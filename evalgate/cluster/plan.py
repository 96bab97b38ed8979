"""Drafts of experiments out of a cluster: what to try, on which cases, and what would show that it worked.

Nobody has read these traces yet. A draft says what their signs suggest, and what to look at before it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from evalgate.figures import percent
from evalgate.terminal import count_of, one_line
from schema.statistics.power import cases_for_drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.cluster.gaps import Covered

REPAIRED: Final = 0.5
"""The part of the failing cases that a change worth keeping repairs."""
NOISE: Final = 0.1
"""The part of cases that changes by chance, half of them each way; measure it: evalgate run --repeats."""
ALPHA: Final = 0.05
POWER: Final = 0.8
TRIED_REASONS: Final = 2
"""The commonest; what few traces have is another problem."""
LOOP: Final = "×4+"
"""How a path of tools says that one was called again and again (find.path_of)."""


@dataclass(frozen=True, slots=True)
class Try:
    """One thing to try, and the sign that suggests it."""

    change: str
    because: str


BY_REASON: Final = (
    (
        "tool_error",
        (
            "Check the tool's arguments against its schema before the call, hand its error to the model with how to "
            "correct it, and retry what is transient once, with a deadline"
        ),
    ),
    ("span_error", "Retry with backoff where the provider was busy, and answer the user when it stays so"),
    ("finish:length", "Raise the limit of output tokens, or ask for an answer that fits it"),
    ("finish:content_filter", "Say in the instructions what may be spoken of, and look whether the filter is right"),
    ("finish:", "Look why the model stopped, and handle that reason"),
    ("refused", "Say in the instructions that such requests are wanted, with one example of a good answer"),
    ("guardrail", "Look whether the guardrail is right; if it is, answer the user instead of stopping"),
    ("invalid_json", "Ask for structured output with a schema, and parse before the answer leaves"),
    ("empty_output", "Treat an empty answer as an error: ask once more, and tell the user if it stays empty"),
    (
        "feedback:",
        "Read what users wrote, name the failure mode, and give the instructions one good answer of this kind",
    ),
    ("rule:", "Change what the rule found"),
)  # fmt: skip
"""Beginning of a failure reason to what is tried first."""
DEFAULT_TRY: Final = "Read the traces below, name what is wrong, and give the instructions one good answer of this kind"


@dataclass(frozen=True, slots=True)
class Plan:
    """A draft."""

    cluster_id: int
    title: str
    seen: tuple[str, ...]
    """What is known, in sentences."""
    tries: tuple[Try, ...]
    cases: tuple[str, ...]
    """Case ids that are there."""
    traces: tuple[str, ...]
    """Traces to label first: who stands for the cluster."""
    cases_needed: int | None
    """So many cases of this cluster show a repair of half of them; None: no number does."""
    steps: tuple[str, ...]
    """What to type, in order."""
    shown_by: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of a draft."""
        return {
            "schema": "evalgate/experiment-plan/1",
            "status": "draft",
            "cluster": self.cluster_id,
            "title": self.title,
            "seen": list(self.seen),
            "try": [{"change": t.change, "because": t.because} for t in self.tries],
            "cases": list(self.cases),
            "traces": list(self.traces),
            "cases_needed": self.cases_needed,
            "steps": list(self.steps),
            "shown_by": list(self.shown_by),
        }


def draft(covered: Covered, traces: Sequence[str]) -> Plan:
    """Return a draft of one cluster; `traces`: who stands for it, the medoid first."""
    c, stored = covered.stored.cluster, covered.stored
    needed = cases_for_drop(REPAIRED, NOISE, alpha=ALPHA, power=POWER)
    lacking = max(0, (needed or 0) - len(covered.cases))
    rate = c.failing / c.traces if c.traces else 0.0
    traffic = (
        f"{count_of(c.traces, 'trace')}, {percent(stored.share)} of the weighted traffic that was grouped, "
        f"{percent(rate)} of them failing; {c.trend} ({c.early} of {stored.early_total} in the first half of the "
        f"window, {c.late} of {stored.late_total} in the second)."
    )
    seen = [
        traffic,
        *_listed("Failure reasons", c.failure_reasons),
        *_listed("Tools", c.tool_paths),
        *_listed("Words", c.terms),
        *_listed("Named by people", [f"{mode} ({n})" for mode, n in covered.modes]),
        f"Looked after by {count_of(len(covered.cases), 'case')} and {count_of(len(covered.evaluators), 'evaluator')}.",
    ]
    return Plan(
        cluster_id=c.id,
        title=c.name,
        seen=tuple(seen),
        tries=_tries(covered),
        cases=covered.cases,
        traces=tuple(traces),
        cases_needed=needed,
        steps=_steps(covered, traces, lacking),
        shown_by=_shown_by(covered, needed),
    )


def markdown(plan: Plan) -> str:
    """Return a draft as Markdown; whatever came out of spans stands in code, where it cannot act."""
    lines = [f"# Draft: cluster {plan.cluster_id}, {_code(plan.title)}", "", "Nobody has read this yet. Change it.", ""]
    lines += ["## What is seen", *(f"- {_escaped(s)}" for s in plan.seen), ""]
    lines += [
        "## What to try",
        *(f"{i}. {t.change}. Because: {_code(t.because)}" for i, t in enumerate(plan.tries, 1)),
        "",
    ]
    lines += ["## On which cases"]
    lines += [f"- case {_code(c)}" for c in plan.cases] or ["- none yet"]
    lines += [f"- label first: trace {_code(t)}" for t in plan.traces]
    lines += ["", "## What to type", *(f"{i}. {s}" for i, s in enumerate(plan.steps, 1)), ""]
    lines += ["## What would show it", *(f"- {s}" for s in plan.shown_by), ""]
    return "\n".join(lines)


def _tries(covered: Covered) -> tuple[Try, ...]:
    c = covered.stored.cluster
    found: dict[str, Try] = {}
    for reason in c.failure_reasons[:TRIED_REASONS]:
        change = next((change for begin, change in BY_REASON if reason.startswith(begin)), None)
        if change:
            found.setdefault(change, Try(change, reason))
    if loops := next((p for p in c.tool_paths if LOOP in p), None):
        change = "Bound the calls of one tool in a trace, and tell the model what it has already tried"
        found[change] = Try(change, loops)
    return tuple(found.values()) or (Try(DEFAULT_TRY, ", ".join(c.terms) or c.name),)


def _steps(covered: Covered, traces: Sequence[str], lacking: int) -> tuple[str, ...]:
    steps = []
    if traces:
        steps.append(f"`evalgate traces show {traces[0][:16]}`: read what stands for the cluster")
    if lacking:
        steps.append(
            f"`evalgate label`: label {lacking} more of its traces, then `evalgate cases promote` the good ones"
        )
    if covered.unwatched or not covered.evaluators:
        steps.append(
            "`evalgate evals generate --issue N`: make the evaluator of the failure mode (`evalgate issues list`)"
        )
    return (
        *steps,
        "`evalgate dataset build`, then `evalgate run` on what is live now: that is the base",
        "make the change, `evalgate run` again, `evalgate compare`, `evalgate gate --base`",
    )


def _shown_by(covered: Covered, needed: int | None) -> tuple[str, ...]:
    enough = f"with {needed} cases of this cluster" if needed else "with many cases of this cluster"
    odds = (
        f"a repair of {percent(REPAIRED)} of them is seen {percent(POWER)} of the time (exact paired test, one-sided "
        f"{percent(ALPHA)}, {percent(NOISE)} of the cases changing by chance)"
    )
    return (
        f"More of its cases pass than before: {enough} {odds}.",
        "No case of another cluster fails that passed: the gate says so case by case.",
        f"After it ships: `evalgate cluster run` sees cluster {covered.stored.cluster.id} falling, or no more.",
    )


def _listed(name: str, values: Sequence[str]) -> list[str]:
    return [f"{name}: {'; '.join(values)}."] if values else []


def _code(text: str) -> str:
    return f"`{one_line(text).replace('`', chr(0x2BC))}`"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|!" else c for c in one_line(text))
