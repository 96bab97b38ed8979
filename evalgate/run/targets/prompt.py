"""What a model target is sent: the conversation of the case, behind a system text or inside a template.

    --system FILE         the text of the system message, as it stands; then the conversation
    --prompt FILE.yaml    messages, each content a jinja2 template; `conversation` stands for that of the case
    --prompt FILE         any other file: one template, sent as the only message of the user

        messages:
          - {role: system, content: "You answer for {{ feature or 'the shop' }}."}
          - conversation

The YAML is read first and each content rendered by itself: what a case says cannot become a message, nor a template.
Templates see `text` (the user's last message), `input`, `case_id`, `feature`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.files import read_text
from schema.case import message_text
from schema.fields import did_you_mean
from schema.hashing import short_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jinja2 import Template

CONVERSATION = "conversation"
ROLES = ("system", "developer", "user", "assistant")


class Unsendable(ValueError):
    """The case holds something that cannot be sent to a model as text."""


@dataclass(frozen=True, slots=True)
class Templated:
    """One message of a prompt."""

    role: str
    content: Template


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages and templates; None stands for the conversation of the case."""

    messages: tuple[Templated | None, ...]
    hash: str
    """Of what the files say: a changed prompt is another target."""
    system: str | None = None

    def render(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the messages for one case, as chat completions have them.

        Raises:
            Unsendable: the case cannot be sent, or a template does not fit it.

        """
        from jinja2 import TemplateError  # noqa: PLC0415 - 0.1 s, and few targets are models

        sent: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        asked = request["input"]
        names = {k: request.get(k) for k in ("case_id", "feature", "input")} | {"text": asked.get("text") or ""}
        for message in self.messages:
            if message is None:
                sent += chat_messages(asked.get("messages") or (), asked.get("text"))
                continue
            try:
                sent.append({"role": message.role, "content": message.content.render(names)})
            except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as e:
                raise Unsendable(f"the prompt does not fit this case: {e}") from None
        return sent


def load_prompt(prompt: Path | None, system: Path | None) -> Prompt:
    """Read what `--prompt` and `--system` name; without either it is the conversation alone.

    Raises:
        BadInput: a file that cannot be read, or is no prompt.

    """
    if prompt is not None and system is not None:
        raise BadInput("give --prompt or --system, not both: a prompt file holds its own system message")
    if prompt is None:
        text = read_text(system) if system else None
        return Prompt((None,), short_hash({"system": text}), text)
    text = read_text(prompt)
    if prompt.suffix in (".yaml", ".yml"):
        messages = tuple(_message(prompt, m) for m in _messages(prompt, text))
    else:
        messages = (Templated("user", _template(prompt, text)),)
    return Prompt(messages, short_hash({"prompt": text, "kind": prompt.suffix in (".yaml", ".yml")}))


def _messages(path: Path, text: str) -> list[Any]:
    import yaml  # noqa: PLC0415 - as above

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise BadInput(f"{path} is not YAML: {str(e).splitlines()[0]}") from None
    messages = value.get("messages") if isinstance(value, dict) else value
    if isinstance(value, dict) and (unknown := [k for k in value if k != "messages"]):
        raise BadInput(f"{path}: unknown field {unknown[0]!r}.{did_you_mean(str(unknown[0]), ['messages'])}")
    if not isinstance(messages, list) or not messages:
        raise BadInput(
            f"{path} lacks 'messages': a list of {{role, content}}, and {CONVERSATION!r} for that of the case"
        )
    return messages


def _message(path: Path, value: Any) -> Templated | None:
    if value == CONVERSATION:
        return None
    if not isinstance(value, dict) or set(value) != {"role", "content"} or not isinstance(value["content"], str):
        raise BadInput(f"{path}: each message must be {{role: ..., content: ...}} or {CONVERSATION!r}")
    if value["role"] not in ROLES:
        raise BadInput(f"{path}: unknown role {value['role']!r}.{did_you_mean(str(value['role']), ROLES)}")
    return Templated(value["role"], _template(path, value["content"]))


def _template(path: Path, text: str) -> Template:
    from jinja2 import StrictUndefined, TemplateSyntaxError  # noqa: PLC0415 - as above
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - as above

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=False, autoescape=False
    )
    try:
        return environment.from_string(text)
    except TemplateSyntaxError as e:
        raise BadInput(f"{path}: the template is wrong in line {e.lineno}: {e.message}") from None


def chat_messages(messages: Sequence[Mapping[str, Any]], text: str | None) -> list[dict[str, Any]]:
    """Return canonical messages as chat completions have them.

    Raises:
        Unsendable: a part that is no text and no tool call.

    """
    if not messages:
        return [{"role": "user", "content": text or ""}]
    return [sent for m in messages for sent in _chat_message(m)]


def _chat_message(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = message.get("parts") or ()
    for part in parts:
        if part.get("type") not in ("text", "reasoning", "tool_call", "tool_call_response"):
            raise Unsendable(f"it holds a part of type {part.get('type')!r}; only text and tool calls can be sent")
    answers = [
        {"role": "tool", "tool_call_id": str(p.get("id") or ""), "content": as_text(p.get("response"))}
        for p in parts
        if p.get("type") == "tool_call_response"
    ]
    if answers:
        return answers
    calls = [
        {
            "id": str(p.get("id") or ""),
            "type": "function",
            "function": {"name": str(p.get("name")), "arguments": as_text(p.get("arguments") or {})},
        }
        for p in parts
        if p.get("type") == "tool_call"
    ]
    role = str(message.get("role"))
    sent: dict[str, Any] = {"role": role if role in (*ROLES, "tool") else "user", "content": message_text(message)}
    return [sent | {"tool_calls": calls}] if calls else [sent]


def as_text(value: Any) -> str:
    """Return a text as it is, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
