"""Evaluators from files: read strictly, all or none, and made ready to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.evaluators.files import EvaluatorFile, evaluator_paths, read_evaluator, read_evaluators
from evalgate.evaluators.plugins import find_plugin, plugin_evaluator
from evalgate.evaluators.rules import Engines, RuleEvaluator
from evalgate.places import EVALUATORS
from schema.evaluator import Code, Judge, Plugin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evalgate.model.chat import ChatModel
    from schema.evaluator import Evaluator

    Chat = Callable[[str | None], ChatModel]


def load_evaluators(folder: Path = EVALUATORS, *, chat: Chat | None = None) -> tuple[Evaluator, ...]:
    """Read every *.yaml of a folder, in the order of their ids. Judges get their model from `chat(name)`.

    Raises:
        BadInput: no folder, no file in it, a file that is wrong, one id twice, or a judge and no `chat`.

    """
    if not evaluator_paths(folder):
        raise BadInput(
            f"there are no evaluators in {folder}. Write one, for example {folder}/no-90-days.yaml:  "
            "{id: no-90-days, failure_mode: policy_hallucination, rule: {type: not_contains, text: 90 days}}"
        )
    engines = Engines()
    return tuple(make_evaluator(file, chat=chat, engines=engines) for file in read_evaluators(folder))


def load_evaluator(path: Path, *, chat: Chat | None = None) -> Evaluator:
    """Read one evaluator file.

    Raises:
        BadInput: naming the file and what is wrong in it.

    """
    return make_evaluator(read_evaluator(path), chat=chat)


def make_evaluator(file: EvaluatorFile, *, chat: Chat | None = None, engines: Engines | None = None) -> Evaluator:
    """Return what judges by a file that was read. `engines` may serve many.

    Raises:
        BadInput: a judge without a model, or an evaluator of a package that cannot be made.

    """
    spec = file.spec
    match spec.body:
        case Code(path=name):
            from evalgate.evaluators.code import code_evaluator  # noqa: PLC0415 - the sandbox; few evaluators are code

            return code_evaluator(spec, file.source or "", name)
        case Judge(model=model):
            if chat is None:
                raise BadInput(
                    f"{file.path} is a judge, which asks a model, and none is given: "
                    "say --judge-model NAME, or set EVALGATE_JUDGE_MODEL (docs/judges.md)"
                )
            from evalgate.evaluators.judge import JudgeEvaluator  # noqa: PLC0415 - as above, with its model

            return JudgeEvaluator(spec, chat(model))
        case Plugin(name=name):
            try:
                return plugin_evaluator(spec, find_plugin(name))
            except (BadInput, ValueError) as e:
                raise BadInput(f"{file.path}: {e}") from None
        case _:
            return RuleEvaluator(spec, engines or Engines())
