"""Figures and verdicts as people read them; the same words in every rendering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evalgate.figures import percent, points
from evalgate.gate.decision import CheckStatus, Status
from evalgate.terminal import count_of
from schema.alignment import Permission
from schema.evaluator import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalgate.gate.decision import Check, Comparison, Decision, EvalResult, EvidenceScore, Failing
    from evalgate.gate.report.model import Terms

VERDICTS: Final[Mapping[Status, str]] = {
    Status.PASS: "GATE PASSED",
    Status.FAIL: "GATE FAILED",
    Status.INCONCLUSIVE: "GATE INCONCLUSIVE",
    Status.ERROR: "GATE ERROR",
}
EMOJI: Final[Mapping[Status, str]] = {
    Status.PASS: "✅",
    Status.FAIL: "❌",
    Status.INCONCLUSIVE: "❔",
    Status.ERROR: "⚠️",
}
MARKS: Final[Mapping[CheckStatus, str]] = {
    CheckStatus.PASS: "✓",
    CheckStatus.FAIL: "✗",
    CheckStatus.INCONCLUSIVE: "?",
    CheckStatus.SKIPPED: "-",
    CheckStatus.INFO: "i",
    CheckStatus.ERROR: "!",
}
KINDS: Final[Mapping[Evidence, str]] = {
    Evidence.OUTCOME: "Outcome",
    Evidence.BEHAVIOUR: "Behaviour",
    Evidence.TRAJECTORY: "Trajectory",
    Evidence.INTEGRITY: "Integrity",
    Evidence.JUDGE: "Judge",
}
ASKED: Final[Mapping[Evidence, str]] = {
    Evidence.OUTCOME: "is the answer right",
    Evidence.BEHAVIOUR: "tools and arguments, refusals, format",
    Evidence.TRAJECTORY: "the way there: steps, loops, cost",
    Evidence.INTEGRITY: "are data and history what they say",
    Evidence.JUDGE: "the opinion of a model",
}


def verdict(decision: Decision) -> str:
    """Return the line that stands first and last; the sentence is ours, with names that are not."""
    return f"{VERDICTS[decision.status]}: {decision.sentence}"


def drop(difference: float) -> str:
    """Return a difference of rates: 12.5 points."""
    text = f"{difference * 100:.1f}".removesuffix(".0")
    return f"{text} point" if text in ("1", "-1") else f"{text} points"


def interval(ends: tuple[float, float] | None) -> str:
    """Return "33.3 % to 61.3 %"."""
    return "–" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}"


def figures(check: Check) -> list[str]:
    """Return what is to be told of a check beside its sentence: intervals, tests, and what would settle it."""
    told = []
    if check.interval is not None:
        told.append(f"{check.level * 100:g} % interval {_ends(check)}")
    if check.p_value is not None:
        adjusted = "" if check.p_adjusted is None else f", {check.p_adjusted:.3g} by Holm"
        told.append(f"p = {check.p_value:.3g}{adjusted}")
    if check.minimum_detectable_effect is not None:
        of = "" if check.n is None else f" with {check.sample}"
        told.append(f"detectable drop {drop(check.minimum_detectable_effect)}{of}")
    if check.status is CheckStatus.INCONCLUSIVE and check.cases_to_settle is not None:
        told.append(f"{check.to_settle} would settle it")
    if check.corrected is not None:
        ends = interval((check.corrected.low, check.corrected.high))
        told.append(f"{percent(check.corrected.rate)} ({ends}) with the evaluator's own errors taken out")
    if check.issue is not None:
        told.append(f"issue {check.issue}")
    if check.status is CheckStatus.FAIL and check.known is not None:
        told.append("known open issue" if check.known else "new regression")
    if check.status is CheckStatus.FAIL and not check.blocking:
        told.append("does not block")
    return told


def _ends(check: Check) -> str:
    """Return the interval of a check: a difference for paired ones, a rate for others."""
    low, high = check.interval or (0.0, 0.0)
    if check.id.startswith("paired:"):
        return f"{points(low).removesuffix(' points')} to {points(high)}"
    return interval((low, high))


def evidence_line(score: EvidenceScore) -> str:
    """Return what one kind of evidence comes to; no evidence is said as that."""
    if score.score is None:
        return "no evidence"
    return f"{score.passed} of {score.judged} passed ({percent(score.score)})"


def standing(failing: Failing) -> str:
    """Return how a failing case stands to what is known: words for its line, empty where nothing is."""
    words = []
    if failing.regression:
        words.append("REGRESSION: it passed before")
    elif failing.known:
        words.append("known open issue")
    if failing.flaky:
        words.append("flaky: its attempts disagree")
    return "; ".join(words)


def group_name(issue: int | None, failure_mode: str | None) -> str:
    """Return the heading of a group of failing cases."""
    name = failure_mode or "no failure mode"
    return f"issue {issue}, {name}" if issue is not None else name


def result_word(e: EvalResult) -> str:
    """Return what an evaluator's row ends with."""
    if e.skipped:
        return f"skipped: {e.skipped}"
    if e.role is Permission.SKIP:
        return f"skipped: {e.grant.reason}"
    word = "passed" if e.passed else "FAILED"
    return word if e.role is Permission.BLOCK else f"{word} (watched only: {e.grant.reason})"


def policy_lines(terms: Terms) -> list[str]:
    """Return what is to be said of the policy: where it asks less."""
    lines = []
    if terms.looser:
        lines.append(f"looser than the default: {', '.join(terms.looser)}")
    if terms.looser_than_base:
        lines.append(f"looser than in the commit {terms.base}: {', '.join(terms.looser_than_base)}")
    return lines


def comparison_lines(comparison: Comparison | None, unaccepted: str | None = None) -> list[str]:
    """Return what is to be said of the base; `unaccepted` is why there is none though there is a baseline."""
    if comparison is None:
        why = f" ({unaccepted})" if unaccepted else ""
        return [f"none{why}: thresholds only. Accept this run: evalgate baseline accept"]
    c = comparison
    when = f", accepted {c.accepted_at[:10]}" if c.accepted_at else ""
    compared = f"{count_of(c.compared, 'case')} compared"
    lines = [f"run {c.baseline_run_id}{when}: {compared}, {len(c.regressions)} broken, {len(c.repaired)} repaired"]
    if c.flaky:
        lines.append(f"{count_of(len(c.flaky), 'changed verdict')} of flaky cases, in neither")
    if not c.same_version:
        lines.append(f"the dataset has changed since: {c.new} new, {c.changed} changed")
    if c.evaluators_changed:
        lines.append(f"evaluators changed since: {_names(c.evaluators_changed)}")
    if c.evaluators_missing:
        lines.append(f"evaluators that judge no more: {_names(c.evaluators_missing)}")
    if c.disappeared:
        lines.append(f"no verdict any more: {_names(c.disappeared)}. Meant so? evalgate baseline accept")
    return lines


def _names(names: tuple[str, ...], limit: int = 8) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
