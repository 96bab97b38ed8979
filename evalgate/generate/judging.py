"""Optimise the criteria of a judge with GEPA, within a budget, and measure the one that was chosen.

Taking up again is replaying: the way of the search follows from the labels, the seed and the models' answers, and the
answers are kept (`answers/` of the work folder). A search that was interrupted is begun again and comes to where it
was without asking anything twice. GEPA's own state file is a pickle, which runs whatever is in it, and is not used.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from gepa.api import optimize

from evalgate.align.measure import confusion_of, judge_all
from evalgate.errors import BadInput
from evalgate.evaluators.judge import JudgeEvaluator
from evalgate.files import to_json, write_atomic
from evalgate.generate.adapter import (
    COMPONENT,
    BudgetSpent,
    CriteriaAdapter,
    JudgeUnavailable,
    SteadySelector,
    StratifiedSampler,
    Watched,
)
from evalgate.generate.outcome import Candidate, JudgeAttempt, Measured
from evalgate.generate.split import SHARES, Part
from evalgate.model.chat import ModelErrorKind
from evalgate.terminal import one_line
from schema.evaluator import EvaluatorError, Judge, Score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gepa.core.state import GEPAState

    from evalgate.align.measure import Judged
    from evalgate.generate.examples import Example, Examples
    from evalgate.generate.split import Split
    from evalgate.model import Budget, ChatModel
    from schema.evaluator import Evaluator, EvaluatorSpec

MINIBATCH = 6
STALE = 8
"""Tries without better criteria after which the search ends."""
MOST_TRIES = 40
STOP_FILE = "gepa.stop"
SEED_REMARKS = 5
"""Reviewers' comments that the first criteria hold."""
GRADED = 1 - 1e-9
SILENT = "the judge does not answer"
FIRST_EXAMPLES = 3
"""One may be too long, or odd; where none of them gets a verdict, the judge is no judge."""
NOBODY_THERE = (
    ModelErrorKind.CONNECTION,
    ModelErrorKind.TIMEOUT,
    ModelErrorKind.SERVER,
    ModelErrorKind.RATE_LIMIT,
)
"""Another example would bring no other answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the search ends, beside its budget."""

    tries: int = MOST_TRIES
    stale: int = STALE
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class JudgeTools:
    """What an optimisation needs: models with their budgets, and a folder.

    The test has a budget of its own that was put aside before the search began, so that what was found can always be
    measured.
    """

    judge: ChatModel
    reflection: ChatModel
    test_judge: ChatModel
    first_judge: ChatModel
    """The judge with little patience, on the budget of the search: for the first call."""
    named: Callable[[str | None], ChatModel]
    """A model by its name, on the budget of the test; None: the one that is named on the command line."""
    budget: Budget
    test_budget: Budget
    folder: Path
    workers: int = 4
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    step: Callable[[], None] = lambda: None
    """Called after each verdict."""
    monotonic: Callable[[], float] = time.monotonic

    def measure(self, spec: EvaluatorSpec, test: Sequence[Example]) -> tuple[tuple[Judged[Example], ...], str | None]:
        """Return what the judge of a file says, by the model that the file names, and why that is not all; None: it is.

        Raises:
            BadInput: the model cannot be opened.

        """
        assert isinstance(spec.body, Judge)  # noqa: S101 - whoever calls it looked
        model = Watched(self.named(spec.body.model))
        judged = judge_all(JudgeEvaluator(spec, model), test, concurrency=self.workers, step=self.step)
        return tuple(judged), f"{model.name}: {model.failed.message}" if model.failed else None

    def with_costs(self, attempt: JudgeAttempt) -> JudgeAttempt:
        """Return the attempt with all that was spent by now."""
        return replace(
            attempt,
            calls=self.budget.calls + self.test_budget.calls,
            cost_usd=self.budget.usd + self.test_budget.usd,
            unpriced=self.budget.unpriced + self.test_budget.unpriced,
        )


class Allowed(NamedTuple):
    """Calls and US dollars; None: as many as it takes."""

    calls: int | None
    usd: float | None


def shares(
    max_calls: int | None, max_usd: float | None, examples: int, earlier: EvaluatorSpec | None = None
) -> tuple[Allowed, Allowed]:
    """Return what is put aside for the test, and what is left for the search.

    The test takes a call for each of its examples, and some for answers that are no verdict. Of money it gets a fifth.
    A judge that stands there already (`earlier`) is measured on the same test, and as much is put aside for it again,
    as often as it asks for one verdict.

    Raises:
        BadInput: too little is left to measure even the criteria that the search begins with.

    """
    tests = 1 + (earlier.body.repeats if earlier is not None and isinstance(earlier.body, Judge) else 0)
    test = tests * (math.ceil(SHARES[Part.TEST] * examples * 1.2) + 2)
    aside = min(0.2 * tests, 0.5)
    least = test + math.ceil(SHARES[Part.VALIDATION] * examples) + MINIBATCH
    if max_calls is not None and max_calls < least:
        raise BadInput(f"--max-calls {max_calls} is too little for {examples} examples: a judge takes {least} or more")
    return (
        Allowed(None if max_calls is None else test, None if max_usd is None else max_usd * aside),
        Allowed(None if max_calls is None else max_calls - test, None if max_usd is None else max_usd * (1 - aside)),
    )


def first_criteria(failure_mode: str, train: Sequence[Example]) -> str:
    """Return what the search begins with: the name of the failure, and what reviewers said of training examples."""
    said = list(dict.fromkeys(" ".join(e.comment.split()) for e in train if e.bad and e.comment.strip()))
    remarks = "".join(f"\n- {one_line(s, 300)}" for s in said[:SEED_REMARKS])
    told = f"\nReviewers said of responses that show it:{remarks}" if remarks else ""
    return (
        f'A response is bad if it shows the failure that reviewers call "{failure_mode}", and good if it does not. '
        f"Other faults do not count.{told}"
    )


def optimise_judge(
    examples: Examples,
    split: Split,
    tools: JudgeTools,
    make_spec: Callable[[Judge, str], EvaluatorSpec],
) -> JudgeAttempt:
    """Return the judge whose criteria agree best with people on validation, measured on the test."""
    judge, reflection = Watched(tools.judge), Watched(tools.reflection)

    def body(criteria: str) -> Judge:
        return Judge(criteria=criteria, model=tools.judge.name)

    def make(criteria: str) -> Evaluator:
        return JudgeEvaluator(make_spec(body(criteria), ""), judge)

    adapter = CriteriaAdapter(
        failure_mode=examples.failure_mode,
        make=make,
        judge=judge,
        reflection=reflection,
        weights={**weights(split.validation), **weights(split.train)},
        private=[e.output.text for e in split.train] + [e.case.input.text or "" for e in split.train],
        workers=tools.workers,
        step=tools.step,
    )
    watch = _Watch(tools, reflection)
    criteria = first_criteria(examples.failure_mode, split.train)
    silent = _first_call(adapter, split, JudgeEvaluator(make_spec(body(criteria), ""), Watched(tools.first_judge)))
    if silent is not None:
        watch.end(f"{SILENT}: {one_line(silent, 300)}", can_go_on=True)
    else:
        _run(adapter, split, tools, watch, criteria)
    candidates = tuple(_candidates(adapter, watch, split))
    _log(tools.folder, candidates)
    chosen = max(range(len(candidates)), key=lambda i: _merit(candidates[i], i), default=None)
    attempt = JudgeAttempt(
        model=tools.judge.name,
        reflection_model=tools.reflection.name,
        candidates=candidates,
        chosen=chosen,
        stopped=watch.reason,
        errors=adapter.errors,
        proposals=adapter.proposals,
        bad_proposals=adapter.bad_proposals,
        can_go_on=watch.can_go_on,
    )
    if chosen is None:
        told = watch.reason if watch.reason.startswith(SILENT) else None
        attempt = replace(attempt, silent=told)
        return _paid(attempt, tools, judge, reflection, None, told or "no criteria were measured")
    spec = make_spec(
        body(candidates[chosen].criteria), f"Asks {tools.judge.name} whether the output shows the failure."
    )
    tester = Watched(tools.test_judge)
    judged = judge_all(JudgeEvaluator(spec, tester), split.test, concurrency=tools.workers, step=tools.step)
    unjudged = [j.verdict for j in judged if isinstance(j.verdict, EvaluatorError)]
    rejected = None
    if 2 * len(unjudged) >= len(judged):
        rejected = f"the test could not be judged: {unjudged[0].message}"
    return _paid(attempt, tools, judge, reflection, Measured(spec, tuple(judged)), rejected)


def _paid(  # noqa: PLR0917 - all of one attempt
    attempt: JudgeAttempt,
    tools: JudgeTools,
    judge: Watched,
    reflection: Watched,
    measured: Measured | None,
    rejected: str | None,
) -> JudgeAttempt:
    known = judge.known + reflection.known
    return tools.with_costs(replace(attempt, measured=measured, rejected=rejected, known=known))


def _first_call(adapter: CriteriaAdapter, split: Split, evaluator: JudgeEvaluator) -> str | None:
    """Return why the judge judges nothing, None where it does: seen at once, before a whole batch waits for it.

    What it says of the example is remembered, so that the call is none too many.
    """
    why = None
    for example in split.validation[:FIRST_EXAMPLES]:
        (judged,) = judge_all(evaluator, [example])
        if isinstance(judged.verdict, Score):
            adapter.verdicts[evaluator.judge.criteria, example.case.case_id] = judged.verdict
            return None
        model = cast("Watched", evaluator.model)
        if model.is_spent:
            return None  # the search says so
        why = judged.verdict.message
        if model.failed is not None and model.failed.kind in NOBODY_THERE:
            break
    return why


def _run(adapter: CriteriaAdapter, split: Split, tools: JudgeTools, watch: _Watch, seed_criteria: str) -> None:
    """Let GEPA search. What it found is in the watch, also when it is cut short."""
    train, validation = list(split.train), list(split.validation)
    size = min(MINIBATCH, len(train))
    try:
        optimize(
            seed_candidate={COMPONENT: seed_criteria},
            trainset=train,
            valset=validation,
            adapter=cast("Any", adapter),  # its type parameters are not inferred from ours
            candidate_selection_strategy=SteadySelector(tools.seed),
            frontier_type="hybrid",
            batch_sampler=StratifiedSampler([e.bad for e in train], size, tools.seed),
            skip_perfect_score=True,
            perfect_score=min((adapter.weights[e.case.case_id] for e in train), default=1.0),
            stop_callbacks=watch,
            callbacks=[watch],  # type: ignore[list-item]  # gepa calls the methods that are there
            logger=_LogFile(tools.folder),
            seed=tools.seed,
            raise_on_exception=True,
        )
    except BudgetSpent:
        watch.end("the budget is spent", can_go_on=True)
    except JudgeUnavailable as e:
        watch.end(f"{SILENT}: {one_line(str(e), 300)}", can_go_on=True)


class _Watch:
    """Sees what GEPA does, and says when to stop. One object, because stopping depends on what was seen."""

    def __init__(self, tools: JudgeTools, reflection: Watched) -> None:
        self._tools = tools
        self._reflection = reflection
        self._began = tools.monotonic()
        self._best = float("-inf")
        self._best_at = -1
        self._idle = 0
        self.found: list[tuple[str, int | None]] = []
        self.reason = "it ended"
        self.can_go_on = False

    def end(self, reason: str, *, can_go_on: bool = False) -> bool:
        """Remember why it ended."""
        self.reason, self.can_go_on = reason, can_go_on
        return True

    def on_valset_evaluated(self, event: Any) -> None:
        """Keep a candidate that was judged on the whole validation split."""
        parents = [p for p in event["parent_ids"] if p is not None]
        self.found.append((event["candidate"][COMPONENT], parents[0] if parents else None))
        if event["average_score"] > self._best + 1e-9:
            self._best, self._best_at, self._idle = event["average_score"], event["iteration"], 0

    def on_evaluation_skipped(self, event: Any) -> None:
        """Count tries in which there was nothing to learn: all of the minibatch was judged right."""
        self._idle += event["reason"] == "all_scores_perfect"

    def __call__(self, gepa_state: GEPAState[Any, Any]) -> bool:
        """Return whether to stop, before each iteration."""
        limits = self._tools.limits
        done = gepa_state.i + 1
        if self._best >= GRADED:
            return self.end("every validation example is judged right")
        if self._reflection.is_spent:
            return self.end("the budget is spent", can_go_on=True)
        if (self._tools.folder / STOP_FILE).exists():
            return self.end(f"{self._tools.folder / STOP_FILE} is there", can_go_on=True)
        if limits.time_s is not None and self._tools.monotonic() - self._began > limits.time_s:
            return self.end(f"{limits.time_s:g} s are over", can_go_on=True)
        if done - max(self._best_at, 0) >= limits.stale:
            if self._idle >= limits.stale:
                return self.end("the examples to learn from are all judged right: more labels would teach it more")
            return self.end(f"no better criteria in {limits.stale} tries")
        if done >= limits.tries:
            return self.end(f"{limits.tries} tries were made", can_go_on=True)
        return False


class _LogFile:
    """GEPA's log, in the work folder. It holds contents of cases: it is not committed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gepa.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._path.write_text("", encoding="utf-8")

    def log(self, message: str) -> None:
        """Write one message."""
        with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(message + "\n")


def weights(examples: Sequence[Example]) -> dict[str, float]:
    """Return case id to what judging it right is worth: the mean over all is balanced accuracy."""
    count = {label: sum(e.bad is label for e in examples) for label in (True, False)}
    classes = sum(n > 0 for n in count.values())
    return {e.case.case_id: len(examples) / (classes * count[e.bad]) for e in examples}


def _candidates(adapter: CriteriaAdapter, watch: _Watch, split: Split) -> Sequence[Candidate]:
    return [
        Candidate(criteria, confusion_of(adapter.judged(split.validation, criteria)), parent)
        for criteria, parent in watch.found
    ]


def _merit(candidate: Candidate, place: int) -> tuple[float, float, int, int]:
    """Return what to choose by: MCC on validation, then balanced accuracy, then the shorter, then the earlier."""
    confusion = candidate.validation
    mcc = confusion.mcc
    balanced = confusion.balanced_accuracy or 0.0
    return (-1.0 if mcc is None else round(mcc, 9), round(balanced, 9), -len(candidate.criteria), -place)


def _log(folder: Path, candidates: Sequence[Candidate]) -> None:
    lines = [
        {"criteria": c.criteria, "parent": c.parent, "mcc": c.validation.mcc, "n": c.validation.n} for c in candidates
    ]
    write_atomic(folder / "candidates.json", to_json(lines))
