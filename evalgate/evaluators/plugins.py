"""Evaluators of other packages, found by their entry points.

    [project.entry-points."otel_evalgate.evaluators"]
    politeness = "acme.politeness:politeness"          # factory(spec, settings) -> Evaluator

A factory that raises `ValueError` says that its settings are wrong. An evaluator that raises, or returns what is no
score, is an error of the case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.terminal import one_line
from schema.evaluator import EvaluatorError, EvaluatorSpec, Plugin, Remembering, Score
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

    from schema.case import Case
    from schema.run import Output

GROUP = "otel_evalgate.evaluators"
REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class PluginEvaluator:
    """The evaluator of another package. It runs in this process: its package was installed, and is trusted."""

    spec: EvaluatorSpec
    judge: Callable[[Case, Output], Any]

    def fresh(self) -> PluginEvaluator:
        """Return the evaluator for a repeat: what its package gives by `fresh()`, where it has that.

        Raises:
            BadInput: it fails.

        """
        if not isinstance(self.judge, Remembering):
            return self
        try:
            again: Any = self.judge.fresh()
        except Exception as e:  # noqa: BLE001 - as below
            said = one_line(f"{type(e).__name__}: {e}", REASON_CHARS)
            raise BadInput(f"{self.spec.id}: fresh() of its package failed: {said}") from None
        return replace(self, judge=again)

    def __call__(self, case: Case, output: Output) -> Score | EvaluatorError:
        """Judge one output."""
        try:
            answer = self.judge(case, output)
        except Exception as e:  # noqa: BLE001 - a stranger's package may raise anything
            return self._error(f"{type(e).__name__}: {e}")
        if isinstance(answer, EvaluatorError):
            return self._error(answer.message)
        if not isinstance(answer, Score):
            return self._error(f"it returned {type(answer).__name__}, not a Score or an EvaluatorError")
        passed: Any = answer.passed
        if not isinstance(passed, bool):
            return self._error(f"its score has passed={passed!r}, which is not true or false")
        if not _is_share(answer.score):
            return self._error(f"its score is {answer.score!r}, not a number from 0 to 1")
        return replace(
            answer,
            evaluator=self.spec.id,
            score=float(answer.score),
            reason=one_line(str(answer.reason), REASON_CHARS),
        )

    def _error(self, message: str) -> EvaluatorError:
        return EvaluatorError(self.spec.id, one_line(message, REASON_CHARS))


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 1


def find_plugin(name: str, points: Iterable[EntryPoint] | None = None) -> EntryPoint:
    """Return the entry point of a name.

    Raises:
        ValueError: there is none, or there are two.

    """
    known = list(entry_points(group=GROUP) if points is None else points)
    found = [p for p in known if p.name == name]
    if not found:
        hint = did_you_mean(name, [p.name for p in known]) if known else " No installed package has one."
        raise ValueError(f"no installed package has the evaluator {name!r}.{hint}")
    if len({p.value for p in found}) > 1:
        owners = ", ".join(sorted(p.dist.name if p.dist else p.value for p in found))
        raise ValueError(f"several packages have the evaluator {name!r}: {owners}")
    return found[0]


def release_of(point: EntryPoint) -> str:
    """Return the package and version that an evaluator is of; it is part of the evaluator's version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def plugin_evaluator(spec: EvaluatorSpec, point: EntryPoint) -> PluginEvaluator:
    """Load an evaluator and give it its settings.

    Raises:
        BadInput: it cannot be loaded, or its settings are wrong.

    """
    plugin = spec.body
    assert isinstance(plugin, Plugin)  # noqa: S101 - whoever calls looked
    try:
        judge = point.load()(spec, dict(plugin.settings))
    except ValueError as e:
        raise BadInput(f"the evaluator {plugin.name!r} of {release_of(point)}: {e}") from None
    except Exception as e:  # noqa: BLE001 - as above
        said = one_line(f"{type(e).__name__}: {e}", REASON_CHARS)
        raise BadInput(f"the evaluator {plugin.name!r} of {release_of(point)} cannot be made: {said}") from None
    if not callable(judge):
        raise BadInput(f"the evaluator {plugin.name!r} of {release_of(point)} is no function of (case, output)")
    return PluginEvaluator(spec, judge)
