"""What a generation did, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.align.usable import lacking_words
from evalgate.terminal import count_of, one_line
from schema.alignment import Permission
from schema.evaluator import EvaluatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalgate.align.measure import Judged
    from evalgate.generate.examples import Example
    from evalgate.generate.outcome import JudgeAttempt, Measured, Outcome, RuleAttempt
    from evalgate.terminal import Terminal
    from schema.alignment import Confusion

EXAMPLES = 3
"""Of each kind that are shown."""
SHOWN_CHARS = 110
ENOUGH = 40
"""Labels of each class that tell a rule that is mostly right from chance (docs/generating.md has the figures)."""


def show(outcome: Outcome, terminal: Terminal) -> None:
    """Print it."""
    examples, split = outcome.examples, outcome.split
    clusters = len({e.cluster for e in examples.items})
    left = ", ".join(f"{n} {reason}" for reason, n in examples.left_out.items())
    terminal.say(
        f"{examples.failure_mode}: {examples.bad} bad and {count_of(examples.good, 'good example')} "
        f"in {count_of(clusters, 'cluster')}{f' (left out: {left})' if left else ''}"
    )
    if outcome.missing_bad or outcome.missing_good:
        wanted = lacking_words(examples.bad, examples.good)
        terminal.say(f"Too few to hold any out: {wanted}: evalgate label. Then try again.")
        return
    parts = (("to learn from", split.train), ("to choose by", split.validation), ("untouched, to test", split.test))
    terminal.say("split    " + ", ".join(f"{len(p)} {name} ({sum(e.bad for e in p)} bad)" for name, p in parts))
    for remark in outcome.remarks:
        terminal.say(f"note     {remark}")
    if outcome.rule is not None:
        _show_rule(outcome.rule, terminal)
    if outcome.judge is not None:
        _show_judge(outcome.judge, terminal)
    if outcome.before is not None:
        before = outcome.before
        told = [_matrix(before.confusion)] if before.confusion else []
        told += [f"not measured whole: {before.unmeasured}"] if before.unmeasured else []
        if told:
            terminal.say(f"before   version {before.spec.version} on the same test: {'; '.join(told)}")
    _show_end(outcome, terminal)


def _show_rule(attempt: RuleAttempt, terminal: Terminal) -> None:
    found = attempt.found
    terminal.say()
    if found is None:
        terminal.say(f"Rule: none; {attempt.rejected}")
        return
    terminal.say(
        f"Rule: searched {found.candidates.considered} candidates, {len(found.candidates.atoms)} of them different"
    )
    terminal.say(f"  fails an output that {found.words}")
    if found.equals:
        terminal.say(f"  the same of these examples: {one_line('; '.join(found.equals), 200)}")
    terminal.say(
        f"  agreement  MCC {found.mcc:.2f} where it was found, {found.held_out:.2f} where it had not looked "
        "(cross-validation)"
    )
    terminal.say(
        f"  chance     with shuffled labels {found.chance.median:.2f} is found; p = {found.chance.p_value:.3g} "
        f"({count_of(len(found.chance.by_chance), 'shuffle')})"
    )
    if attempt.measured is not None:
        _show_test(attempt.measured, terminal)
    if attempt.rejected:
        terminal.say(f"  not used: {attempt.rejected}")


def _show_judge(attempt: JudgeAttempt, terminal: Terminal) -> None:
    terminal.say()
    reflecting = (
        "" if attempt.reflection_model == attempt.model else f", criteria written by {attempt.reflection_model}"
    )
    terminal.say(f"Judge: {attempt.model}{reflecting}; {count_of(len(attempt.candidates), 'set')} of criteria measured")
    if attempt.chosen is not None:
        first, best = attempt.candidates[0], attempt.candidates[attempt.chosen]
        terminal.say(f"  validation {_matrix(first.validation)}: the criteria it began with")
        if best is not first:
            terminal.say(f"  validation {_matrix(best.validation)}: the best ones")
        terminal.say("  criteria")
        for line in best.criteria.splitlines():
            terminal.say(f"    {line}")
    if attempt.measured is not None:
        _show_test(attempt.measured, terminal)
    known_price = attempt.calls > attempt.unpriced or not attempt.calls
    prices = [f"${attempt.cost_usd:.4f}"] if known_price else []
    prices += [f"unknown for {count_of(attempt.unpriced, 'call')}"] if attempt.unpriced else []
    price = " and ".join(prices)
    known = f", {attempt.known} answers known from before" if attempt.known else ""
    terminal.say(f"  cost       {count_of(attempt.calls, 'call')}, {price}{known}")
    if attempt.errors or attempt.bad_proposals:
        terminal.say(
            f"  faults     {count_of(attempt.errors, 'verdict')} that the judge did not give, "
            f"{attempt.bad_proposals} of {count_of(attempt.proposals, 'proposal')} that were no criteria"
        )
    if attempt.silent:
        return  # why is the last word of all
    terminal.say(f"  ended      {attempt.stopped}")
    if attempt.can_go_on:
        terminal.say("  the same command goes on from here; what was answered is not asked again")
    if attempt.rejected:
        terminal.say(f"  not used: {attempt.rejected}")


def _show_test(measured: Measured, terminal: Terminal) -> None:
    terminal.say(f"  test       {_matrix(measured.confusion)}")
    for word, judged in _notable(measured):
        case, said = judged.item.case, judged.verdict
        reason = said.message if isinstance(said, EvaluatorError) else said.reason
        terminal.say(f"  {word:<11} {case.case_id}: {one_line(reason, SHOWN_CHARS)}")


def _notable(measured: Measured) -> Iterator[tuple[str, Judged[Example]]]:
    """Yield what to look at: all kinds of mistakes first, then what it caught."""
    groups: dict[str, list[Judged[Example]]] = {"misses": [], "false alarm": [], "no verdict": [], "catches": []}
    for j in measured.judged:
        if isinstance(j.verdict, EvaluatorError):
            groups["no verdict"].append(j)
        elif j.item.bad:
            groups["catches" if j.is_right else "misses"].append(j)
        elif not j.is_right:
            groups["false alarm"].append(j)
    for word in ("catches", "misses", "false alarm", "no verdict"):
        for j in groups[word][:EXAMPLES]:
            yield word, j


def _matrix(confusion: Confusion) -> str:
    caught = f"catches {confusion.tp} of {confusion.positives} bad"
    alarms = f"{confusion.fp} of {confusion.negatives} good raise a false alarm"
    errors = f", {count_of(confusion.errors, 'error')}" if confusion.errors else ""
    if confusion.mcc is None:
        return f"{caught}, {alarms}{errors}, MCC undefined"
    interval = confusion.mcc_interval(0.9)
    told = f" (90 % interval {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
    return f"{caught}, {alarms}{errors}, MCC {confusion.mcc:.2f}{told}"


def _show_end(outcome: Outcome, terminal: Terminal) -> None:
    terminal.say()
    grant = outcome.grant
    if grant is not None and outcome.chosen is not None:
        lacks = ""
        if grant.permission is not Permission.BLOCK and grant.further_labels:
            lacks = f"; {count_of(grant.further_labels, 'further label')} in its test would let it block"
        told = {
            Permission.BLOCK: "it may block a release",
            Permission.MONITOR: "it is run and told, and blocks nothing",
            Permission.SKIP: "a gate skips it",
        }[grant.permission]
        terminal.say(f"permission {grant.permission}: {told} ({grant.reason}, {count_of(grant.n, 'label')}){lacks}")
    if outcome.written:
        place = outcome.place
        terminal.say(
            f"written    {place.file}, {place.split}, {place.alignment}/{place.evaluator_id}.jsonl; commit them"
        )
        terminal.say(f"next       evalgate evals show {place.evaluator_id}")
    else:
        terminal.say(f"Nothing was written: {(outcome.not_written or '').rstrip('.')}.")
        if outcome.judge is not None and outcome.judge.silent is not None:
            terminal.say(f"What the endpoint says: evalgate model check --judge-model {outcome.judge.model}")
        elif outcome.chosen is None:
            few = min(outcome.examples.bad, outcome.examples.good) < ENOUGH
            judge = "" if outcome.judge is not None else "a model that judges (--judge-model)"
            helps = [h for h in ("more labels" if few else "", judge) if h]
            if helps:
                terminal.say(f"What may help: {', or '.join(helps)}.")
        if outcome.chosen is None and outcome.rule is not None:
            terminal.say(f"What was tried, and why it lost: {outcome.place.work}/considered.jsonl")
