"""The agent as `evalgate run` calls it: a case goes in, what the agent said and did comes out.

evalgate run --dataset support --target python:support_agent/target.py:broken
evalgate run --dataset support --target python:support_agent/target.py:fixed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .agent import Agent
from .model import Message, ScriptedModel
from .prompts import BROKEN_RELEASE, FIXED_RELEASE
from .spans import Turn
from .telemetry import silent

if TYPE_CHECKING:
    from collections.abc import Mapping


def broken(case: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a case with the release that is in production."""
    return _answer(case, BROKEN_RELEASE)


def fixed(case: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a case with the release that shall replace it."""
    return _answer(case, FIXED_RELEASE)


def _answer(case: Mapping[str, Any], release: str) -> dict[str, Any]:
    asked = case["input"]
    *history, last = [_message(m) for m in asked["messages"]] or [Message("user", asked["text"])]
    agent = Agent(silent(release), ScriptedModel(), release, Turn("eval", "eval", "eval"), history=history)
    reply = agent.answer(last.text)
    return {
        "output": reply.text,
        "tool_calls": [{"name": c.name, "arguments": dict(c.arguments)} for c in reply.tool_calls],
    }


def _message(message: Mapping[str, Any]) -> Message:
    text = "".join(p["content"] for p in message["parts"] if p["type"] == "text")
    return Message(message["role"], text)
