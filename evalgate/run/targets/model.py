"""Target: a model behind an OpenAI-compatible endpoint; its tools answer from the records of production.

prompt ──▶ model ──▶ text                                       one call
             ▲└────▶ tool calls ──▶ Replay ──▶ results ─┐       with --replay, until it answers in text
             └──────────────────────────────────────────┘
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.model.chat import ModelError, ModelErrorKind
from evalgate.run.replay import NoRecord, Replay, ToolFailed
from evalgate.run.targets.answer import TargetAnswer, plain
from evalgate.run.targets.prompt import Unsendable, as_text
from schema.run import ErrorKind, Output, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalgate.model.chat import ChatModel, Completion
    from evalgate.run.targets.prompt import Prompt

MAX_STEPS = 25
"""Calls of the model for one case. More is a loop: an answer without text, for evaluators to judge."""
OUT_OF_STEPS = "max_steps"
KINDS = {
    ModelErrorKind.TIMEOUT: ErrorKind.TIMEOUT,
    ModelErrorKind.RATE_LIMIT: ErrorKind.RATE_LIMIT,
    ModelErrorKind.BUDGET: ErrorKind.BUDGET,
}


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """A prompt and a model."""

    model: ChatModel
    prompt: Prompt
    tools: Sequence[Mapping[str, Any]] = ()
    """{name, description?, parameters} of each."""
    temperature: float | None = None
    clock: Callable[[], float] = time.monotonic

    def __call__(self, request: Mapping[str, Any], timeout_s: float) -> TargetAnswer:
        """Ask until the model answers in text; without records there is one call."""
        try:
            messages = self.prompt.render(request)
        except Unsendable as e:
            return TargetAnswer(error=RunError(ErrorKind.CASE, str(e)))
        replay = Replay(request) if "replay" in request else None
        answers: list[Completion] = []
        calls: list[dict[str, Any]] = []
        ends = self.clock() + timeout_s
        while True:
            # The cache of a run keeps whole outputs; that of models would answer repeats with one and the same.
            answer = self.model.complete(
                messages,
                temperature=self.temperature,
                tools=self.tools or None,
                fresh=True,
                timeout_s=max(0.001, ends - self.clock()),
            )
            if isinstance(answer, ModelError):
                error = RunError(KINDS.get(answer.kind, ErrorKind.TARGET), answer.message)
                return TargetAnswer(error=error, notes=replay.notes if replay else ())
            answers.append(answer)
            if replay is None or not answer.tool_calls:
                calls += [_call(c) for c in answer.tool_calls]
                return self._done(answers, calls, replay, answer.finish_reason)
            messages = [*messages, _asked(answer)]
            for call in answer.tool_calls:
                done, told = _played(call, replay)
                calls.append(done)
                messages.append({"role": "tool", "tool_call_id": str(call.get("id") or ""), "content": told})
            if len(answers) >= MAX_STEPS:
                return self._done(answers, calls, replay, OUT_OF_STEPS)

    def _done(
        self,
        answers: Sequence[Completion],
        calls: Sequence[Mapping[str, Any]],
        replay: Replay | None,
        reason: str | None,
    ) -> TargetAnswer:
        last = answers[-1]
        text = last.refusal if last.refusal and not last.text else last.text
        output = Output(
            text=plain(text),
            tool_calls=tuple(calls),
            finish_reason=plain(reason),
            input_tokens=_sum([a.input_tokens for a in answers]),
            output_tokens=_sum([a.output_tokens for a in answers]),
            cost_usd=_sum([a.cost_usd for a in answers]),
            model=plain(last.model or self.model.name),
        )
        steps = (f"stopped after {MAX_STEPS} calls of the model",) if reason == OUT_OF_STEPS else ()
        return TargetAnswer(output, notes=(*(replay.notes if replay else ()), *steps))


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": str(call.get("name")), "arguments": plain(call.get("arguments"))}


def _played(call: Mapping[str, Any], replay: Replay) -> tuple[dict[str, Any], str]:
    """Return the call with what came of it, and what the model is told."""
    done = _call(call)
    try:
        result = replay.call(done["name"], done["arguments"])
    except (NoRecord, ToolFailed) as e:
        return done | {"error": str(e)}, f"error: {e}"
    return done | {"result": result}, as_text(result)


def _asked(answer: Completion) -> dict[str, Any]:
    """Return the model's own message, as it must be sent back."""
    calls = [
        {
            "id": str(c.get("id") or ""),
            "type": "function",
            "function": {
                "name": str(c.get("name")),
                "arguments": c["arguments"] if isinstance(c.get("arguments"), str) else json.dumps(c.get("arguments")),
            },
        }
        for c in answer.tool_calls
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}


def _sum(values: Sequence[Any]) -> Any:
    """Return the sum, None where one of them is not known."""
    return None if any(v is None for v in values) else sum(values)
