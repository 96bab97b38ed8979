"""Make a run from what the command line says: open everything, run, keep each attempt, write the run."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.align.measure import model_of
from evalgate.align.store import latest
from evalgate.dataset.store import load_leniently
from evalgate.errors import BadInput
from evalgate.evaluators.load import load_evaluators
from evalgate.model.chat import ModelError, ModelErrorKind
from evalgate.model.rate import RateLimit
from evalgate.run.engine import (
    Kept,
    Outputs,
    Settings,
    Surroundings,
    evaluator_used,
    new_run_id,
    run_dataset,
)
from evalgate.run.options import RunOptions, options_of
from evalgate.run.outputs import KeptOutputs
from evalgate.run.partial import PartialFile, check_plan, find_partial, read_partial
from evalgate.run.targets.load import TargetOptions, load_target
from evalgate.run_files import save_run
from evalgate.terminal import count_of
from schema.run import ErrorKind, RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evalgate.dataset.store import Dataset
    from evalgate.model.chat import ChatModel, Completion
    from evalgate.model.options import Models
    from evalgate.run.partial import Unfinished
    from evalgate.run.targets.load import Loaded
    from schema.evaluator import Evaluator
    from schema.run import Run


@dataclass(frozen=True, slots=True)
class Made:
    """A run that is written."""

    run: Run
    path: Path
    unpaid: int
    """Attempts for which there was no budget; the run can be taken up again."""
    broken: int
    """Other attempts that ended in an error; they can be tried again."""


class Stopped(Exception):
    """The user stopped the run; what was kept is kept."""

    def __init__(self, run_id: str, done: int, total: int) -> None:
        super().__init__(
            f"stopped after {done} of {count_of(total, 'attempt')}; they are kept. "
            f"Go on: evalgate run --resume {run_id}"
        )


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything that a run needs, opened and checked."""

    options: RunOptions
    dataset: Dataset
    evaluators: tuple[Evaluator, ...]
    loaded: Loaded
    plan: dict[str, Any]
    unfinished: Unfinished | None
    spent: threading.Event
    judge_model: str | None

    @property
    def attempts(self) -> int:
        """How many there are in all."""
        return len(self.dataset.cases) * self.options.repeats

    @property
    def attempts_left(self) -> int:
        """Those that an earlier try has not made."""
        return self.attempts - (len(self.unfinished.attempts) if self.unfinished else 0)

    def make(self, step: Callable[[Kept], None], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Made:
        """Run what is left, write the run, and forget the unfinished one.

        Raises:
            Stopped: by Ctrl-C.

        """
        options, began = self.options, now()
        run_id = self.unfinished.run_id if self.unfinished else new_run_id(began)
        started_at = self.unfinished.started_at if self.unfinished else began.isoformat(timespec="milliseconds")
        partial = (
            PartialFile.go_on(self.unfinished)
            if self.unfinished
            else PartialFile.begin(run_id, started_at, self.plan, options.to_json())
        )
        rate = RateLimit(options.rate)
        done = dict(self.unfinished.attempts) if self.unfinished else {}
        ended = len(done)

        def keep(kept: Kept) -> None:
            nonlocal ended
            partial.keep(kept)
            ended += 1
            step(kept)

        with partial:
            try:
                run = run_dataset(
                    self.dataset,
                    self.loaded.target,
                    self.evaluators,
                    target_name=options.name or options.target,
                    settings=Settings(
                        options.concurrency, options.timeout_s, options.repeats, options.retries, options.replay
                    ),
                    step=keep,
                    around=Surroundings(
                        outputs=self._outputs(),
                        turn=lambda: _turn(rate),
                        spent=self.spent,
                    ),
                    run_id=run_id,
                    started_at=started_at,
                    done=done,
                    used=[
                        evaluator_used(e, latest(e.spec.id, e.spec.version, model=model_of(e))) for e in self.evaluators
                    ],
                    recorded=self._settings(),
                )
            except KeyboardInterrupt:
                raise Stopped(run_id, ended, self.attempts) from None
            kinds = Counter(a.error.kind for r in run.results for a in r.attempts if a.error is not None)
            path = save_run(run)
            if not kinds:
                partial.remove()
        unpaid = kinds.pop(ErrorKind.BUDGET, 0)
        return Made(run, path, unpaid, kinds.total())

    def _outputs(self) -> Outputs:
        wanted = self.loaded.is_cached if self.options.cache is None else self.options.cache
        return KeptOutputs(self.loaded.identity) if wanted else Outputs()

    def _settings(self) -> RunSettings:
        return RunSettings(
            repeats=self.options.repeats,
            concurrency=self.options.concurrency,
            timeout_s=self.options.timeout_s,
            model=self.loaded.model,
            judge_model=self.judge_model,
            temperature=self.options.temperature,
            prompt_hash=self.loaded.prompt_hash,
            replay=self.options.replay,
            evaluators=self.options.evaluators,
        )


def open_experiment(
    options: RunOptions, models: Models, target_models: Models, unfinished: Unfinished | None
) -> Experiment:
    """Open everything that a run needs; nothing is asked of anybody yet.

    Raises:
        BadInput: something is not there, or changed since the unfinished run was stopped.

    """
    spent = threading.Event()
    dataset = load_leniently(options.dataset)
    if not dataset.cases:
        raise BadInput(
            f"the dataset {dataset.path} has no cases. Add some: evalgate dataset build --name {dataset.name}"
        )
    asked: list[str] = []

    def judge(name: str | None) -> ChatModel:
        model = Noticing(models.chat(name), spent)
        asked.append(model.name)
        return model

    evaluators = load_evaluators(Path(options.evaluators), chat=judge)
    with contextlib.redirect_stdout(sys.stderr):  # what the user's module prints while it is imported
        loaded = load_target(
            options.target,
            dataset.cases,
            TargetOptions(
                prompt=options.path("prompt"),
                system=options.path("system"),
                tools=options.path("tools"),
                temperature=options.temperature,
                headers=options.headers,
                insecure=options.insecure_target,
                replay=options.replay,
                models=lambda name: Noticing(target_models.chat(name), spent),
            ),
        )
    if loaded.model is not None:
        identity = {**loaded.identity, "base_url": target_models.settings.base_url}
        loaded = type(loaded)(loaded.target, identity, loaded.model, loaded.prompt_hash, loaded.is_cached)
    judges = ", ".join(sorted(set(asked))) or None
    plan = {
        "the dataset": dataset.version,
        "the evaluators": {e.spec.id: e.spec.version for e in evaluators},
        "the target": dict(loaded.identity),
        "the judges' model": judges,
        "--repeats": options.repeats,
        "--replay": options.replay,
    }
    if unfinished is not None:
        check_plan(unfinished, plan)
    return Experiment(options, dataset, evaluators, loaded, plan, unfinished, spent, judges)


def resume(reference: str, *, retry_errors: bool = False) -> tuple[RunOptions, Unfinished]:
    """Return what an unfinished run was made of, and how far it got; with `retry_errors`, as if nothing had broken.

    Raises:
        BadInput: there is none, or it is damaged.

    """
    unfinished = read_partial(find_partial(reference))
    if retry_errors:
        whole = {key: a for key, a in unfinished.attempts.items() if a.error is None}
        unfinished = replace(unfinished, attempts=whole)
    try:
        return options_of(unfinished.options), unfinished
    except BadInput as e:
        raise BadInput(f"{unfinished.path}: {e}. Delete the file and run again") from None


class Noticing:
    """A model that notices when a call was not made for want of budget."""

    def __init__(self, model: ChatModel, spent: threading.Event) -> None:
        self._model = model
        self._spent = spent

    @property
    def name(self) -> str:
        """The model's name as the endpoint knows it."""
        return self._model.name

    def complete(self, messages: Sequence[Any], **asked: Any) -> Completion | ModelError:
        """Ask for one answer; see `ChatModel`."""
        answer = self._model.complete(messages, **asked)
        if isinstance(answer, ModelError) and answer.kind is ModelErrorKind.BUDGET:
            self._spent.set()
        return answer


def _turn(rate: RateLimit) -> None:
    rate.wait(0, float("inf"))
