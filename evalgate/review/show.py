"""A case for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evalgate.terminal import clean, one_line
from schema.case import message_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalgate.review.cases import CaseRow
    from evalgate.terminal import Terminal


def print_case(terminal: Terminal, row: CaseRow, history: Sequence[Mapping[str, Any]]) -> None:
    """Print what was asked, what came, what should have come, where it is from and what happened to it."""
    case = row.case
    terminal.say(f"case {case.case_id}", style="bold")
    facts = {
        "status": row.status,
        "verdict": case.verdict,
        "failure": case.failure_mode,
        "feature": case.feature,
        "tags": ", ".join(case.tags),
        "content": case.content_hash[:16],
        "drafted by": case.provenance.drafted_by,
    }
    for name, value in facts.items():
        if value:
            terminal.say(f"  {name:<12}{one_line(str(value))}")
    if made := case.provenance.synthesis:
        who = f", {one_line(made.model)}" if made.model else ""
        terminal.say(
            f"  {'variant of':<12}{one_line(made.case_id)}, {made.dimension}={made.value} ({made.method}{who})"
        )
        stays = "that of its source" if made.keeps_meaning else "not that of its source: nobody knows it yet"
        terminal.say(f"  {'the answer':<12}is {stays}")
    if trace := case.provenance.trace_id:
        terminal.say(f"  {'trace':<12}{one_line(trace)}, see: evalgate traces show {one_line(trace)[:16]}")
    terminal.say("\ninput", style="bold")
    for message in case.input.messages:
        terminal.say(one_line(str(message.get("role"))), style="cyan")
        _print_block(terminal, message_text(message) or json.dumps(message.get("parts"), ensure_ascii=False))
    if not case.input.messages:
        _print_block(terminal, case.input.text or "")
    if case.observed.output is not None:
        terminal.say("\nobserved", style="bold")
        _print_block(terminal, case.observed.output)
    for call in case.observed.tool_calls:
        terminal.say(f"  called {one_line(str(call.get('name')))}({one_line(json.dumps(call.get('arguments')), 200)})")
        for word, name in (("answered", "result"), ("failed", "error"), ("not kept:", "omitted")):
            if call.get(name) is not None:
                told = call[name] if isinstance(call[name], str) else json.dumps(call[name], ensure_ascii=False)
                terminal.say(f"    {word} {one_line(told, 200)}")
    if case.expected_output is not None:
        terminal.say("\nexpected", style="bold")
        _print_block(terminal, case.expected_output)
    if history:
        terminal.say("\nhistory", style="bold")
    for event in history:
        by = f" by {one_line(str(event['actor']))}" if event["actor"] else ""
        why = f": {one_line(str(event['reason']))}" if event["reason"] else ""
        terminal.say(f"  {event['at'][:19].replace('T', ' ')}  {event['event']}{by}{why}")


def print_text(terminal: Terminal, title: str, text: str) -> None:
    """Print a text behind a bar, under a title; nothing where there is none."""
    if text:
        terminal.say(f"\n{title}", style="bold")
        _print_block(terminal, text)


def _print_block(terminal: Terminal, text: str) -> None:
    for line in clean(text).split("\n"):
        terminal.say(f"  │ {line}")
