"""Ask about traces, some at a time: what is answered is kept at once, what is not answered is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from evalgate.evaluators.ask import NoVerdict, Question, ask
from evalgate.flag.categories import UNREADABLE, Category
from evalgate.flag.prompt import FLAG_SCHEMA, MAX_OUTPUT_TOKENS, REASON_CHARS, flag_prompt, read_said
from evalgate.flag.store import Flag, save
from evalgate.model.chat import ModelErrorKind
from evalgate.select.traces import load_traces
from evalgate.terminal import one_line
from evalgate.work import in_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import TenantDatabase
    from evalgate.flag.choose import Choice
    from evalgate.model.chat import ChatModel, Completion, ModelError
    from evalgate.select.traces import Trace
    from evalgate.terminal import Step

AT_A_TIME: Final = 20
"""Traces that are read, asked about and stored together: some 100 kB each in memory."""
HOPELESS: Final = frozenset({ModelErrorKind.REQUEST, ModelErrorKind.CONNECTION, ModelErrorKind.BUDGET})
"""Errors after which the next call ends in the same."""
QUESTION: Final = Question(FLAG_SCHEMA, MAX_OUTPUT_TOKENS, who="the model", setting="")


@dataclass(slots=True)
class Asked:
    """What came of asking."""

    flags: list[Flag] = field(default_factory=list)
    """Answered and stored; UNREADABLE ones too."""
    nothing_to_read: int = 0
    """Traces of which no text is recorded, or that are gone."""
    errors: Counter[str] = field(default_factory=Counter)
    """Why there is no answer, with how many traces; they are asked about again."""
    stopped: ModelError | None = None
    """Why the rest was not asked about."""

    @property
    def found(self) -> list[Flag]:
        """Those in which the model saw something, the surest first."""
        saw = [f for f in self.flags if f.category not in {UNREADABLE, Category.NONE}]
        return sorted(saw, key=lambda f: (-f.confidence, f.trace_id))


@dataclass(frozen=True, slots=True)
class Asker:
    """A model and what is stored with its answers. Safe from many threads."""

    model: ChatModel
    version: str
    rate: float

    def __call__(self, choice: Choice, trace: Trace | None) -> Flag | NoVerdict | None:
        """Ask about one trace; None where there is nothing to read."""
        try:
            prompt = flag_prompt(trace) if trace is not None else None
        except (TypeError, ValueError, RecursionError) as e:
            return self._flag(choice, UNREADABLE, 0.0, f"the trace cannot be shown: {e}", [])
        if prompt is None:
            return None
        calls: list[Completion] = []
        said = ask(self.model, prompt, QUESTION, read_said, calls)
        if isinstance(said, NoVerdict):
            return said if said.error else self._flag(choice, UNREADABLE, 0.0, said.message, calls)
        return self._flag(choice, said.category, said.confidence, said.reason, calls)

    def _flag(self, choice: Choice, category: str, confidence: float, reason: str, calls: Sequence[Completion]) -> Flag:
        costs = [c.cost_usd for c in calls]
        known = [c for c in costs if c is not None]
        return Flag(
            trace_id=choice.trace_id,
            version=self.version,
            category=str(category),
            confidence=confidence,
            reason=one_line(reason, REASON_CHARS),
            model=self.model.name,
            chosen=str(choice.why),
            rate=self.rate,
            cost_usd=sum(known) if len(known) == len(costs) else None,
        )


def ask_about(
    database: TenantDatabase, asker: Asker, choices: Sequence[Choice], *, concurrency: int, step: Step
) -> Asked:
    """Ask about traces in order; what was answered is stored, also where somebody interrupts.

    Stops where an error says that no further call can succeed.
    """
    done = Asked()
    for i in range(0, len(choices), AT_A_TIME):
        some = choices[i : i + AT_A_TIME]
        traces = load_traces(database, [c.trace_id for c in some])
        new: list[Flag] = []
        try:
            work = partial(_one, asker, traces)
            for _, said in in_threads(work, some, concurrency):
                _count(done, new, said)
                step(f"{len(done.flags) + len(new)} answered")
        finally:
            save(database, new)
            done.flags += new
        if done.stopped is not None:
            break
    return done


def _one(asker: Asker, traces: dict[str, Trace], choice: Choice) -> Flag | NoVerdict | None:
    return asker(choice, traces.get(choice.trace_id))


def _count(done: Asked, new: list[Flag], said: Flag | NoVerdict | None) -> None:
    if said is None:
        done.nothing_to_read += 1
    elif isinstance(said, Flag):
        new.append(said)
    elif said.error is not None:
        done.errors[said.message] += 1
        if said.error.kind in HOPELESS:
            done.stopped = done.stopped or said.error
