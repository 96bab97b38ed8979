"""Evaluators where no model may be at hand: every specification is read, and a judge without a model says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.evaluators.judge import JudgeEvaluator
from evalgate.evaluators.load import load_evaluators
from evalgate.model.chat import ModelError, ModelErrorKind
from evalgate.places import EVALUATORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evalgate.model.chat import ChatModel, Message
    from schema.evaluator import Evaluator, EvaluatorSpec


@dataclass(frozen=True, slots=True)
class NoModel:
    """In the place of a model that cannot be asked."""

    name: str
    reason: str

    def complete(self, messages: Sequence[Message], **_: Any) -> ModelError:
        """Answer that it cannot."""
        del messages
        return ModelError(ModelErrorKind.REQUEST, self.reason, attempts=0)


def load_all(folder: Path = EVALUATORS, chat: Callable[[str | None], ChatModel] | None = None) -> tuple[Evaluator, ...]:
    """Return every evaluator of a folder; judges have a `NoModel` where `chat` cannot give them theirs.

    Raises:
        BadInput: as `load_evaluators`.

    """

    def model(name: str | None) -> ChatModel:
        if chat is None:
            return NoModel(name or "", "no model was asked for")
        try:
            return chat(name)
        except BadInput as e:
            return NoModel(name or "", str(e))

    return load_evaluators(folder, chat=model)


def load_specs(folder: Path = EVALUATORS) -> tuple[EvaluatorSpec, ...]:
    """Return the specifications of a folder by id; none where there is no folder or no evaluator in it.

    Raises:
        BadInput: a file is wrong.

    """
    if not folder.is_dir() or not any((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        return ()
    return tuple(e.spec for e in load_all(folder))


def lacking_model(evaluator: Evaluator) -> str | None:
    """Return why a judge cannot be asked, None where it can or needs no model."""
    if isinstance(evaluator, JudgeEvaluator) and isinstance(evaluator.model, NoModel):
        return evaluator.model.reason
    return None
