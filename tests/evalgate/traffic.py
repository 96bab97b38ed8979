"""Traces for tests, written to the database as the exporter writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@dataclass
class Traffic:
    """Writes traces."""

    database: TenantDatabase
    count: int = 0

    def trace(self, trace_id: str, spans: list[dict[str, Any]]) -> str:
        """Store one trace; a span is what differs from an uneventful root llm span."""
        self.count += 1
        start = START + timedelta(minutes=self.count)
        rows = []
        for number, given in enumerate(spans):
            span = {
                "tenant": "default",
                "trace_id": bytes.fromhex(trace_id),
                "span_id": (number + 1).to_bytes(8, "big"),
                "parent_span_id": bytes(8) if number == 0 else (1).to_bytes(8, "big"),
                "received_at": start,
                "start_time": start + timedelta(milliseconds=number),
                "end_time": start + timedelta(milliseconds=number + 1500),
                "duration_ns": 1_500_000_000,
                "name": "chat",
                "status_code": "unset",
                "status_message": "",
                "service_name": "shop",
                "span_kind": "llm",
                "counted": True,
                "request_model": "m-1",
                "input_tokens": 12,
                "output_tokens": 5,
                "finish_reasons": ["stop"],
                "input_messages": None,
                "output_messages": None,
                "input_text": None,
                "output_text": None,
                "tool_name": None,
                "tool_arguments": None,
                "tool_result": None,
                "error": False,
                "error_type": None,
                "error_message": None,
                "feature": None,
                "tags": [],
                "failing": False,
                "failure_reasons": [],
                "baseline": False,
                "baseline_rate": 0.1,
            }
            kept = {"input_text": "input_text_kept", "output_text": "output_text_kept"}
            rows.append({kept.get(name, name): value for name, value in {**span, **given}.items()})
        self.database.insert_rows("spans", rows)
        return trace_id

    def refund(self, trace_id: str, answer: str = "You have 90 days.", *, failing: bool = True) -> str:
        """Store an agent's trace: a question, a tool call that failed, an answer."""
        question = message("user", "Can I return my shoes?")
        call = {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "1", "name": "policy", "arguments": {"q": 1}}],
        }
        result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "timeout"}]}
        system = message("system", "You are kind.")
        reasons = ["tool_error"] if failing else []
        return self.trace(
            trace_id,
            [
                {
                    "name": "invoke_agent support",
                    "span_kind": "agent",
                    "counted": False,
                    "input_messages": json.dumps([system, question]),
                    "output_messages": json.dumps([message("assistant", answer)]),
                    "output_text": answer,
                    "feature": "refunds",
                },
                {
                    "name": "execute_tool policy",
                    "span_kind": "tool",
                    "counted": False,
                    "tool_name": "policy",
                    "tool_arguments": json.dumps({"q": 1}),
                    "tool_result": json.dumps("timeout"),
                    "error": failing,
                    "error_type": "Timeout" if failing else None,
                    "failing": failing,
                    "failure_reasons": reasons,
                },
                {
                    "name": "chat m-1",
                    "input_messages": json.dumps([system, question, call, result]),
                    "output_messages": json.dumps([message("assistant", answer)]),
                    "output_text": answer,
                },
            ],
        )


def message(role: str, text: str) -> dict[str, Any]:
    """Return a canonical message of one text part."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}
