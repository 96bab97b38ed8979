"""The canonical span: the columns that processors derive, whatever dialect a span came in.

The meaning of each is the table of `normalized/1` (docs/normalized.md). Null is unknown; unknown is never 0, "" or a
guess. JSON columns hold strict JSON text, or null.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa


class Kind(StrEnum):
    """What a span records."""

    LLM = "llm"
    EMBEDDING = "embedding"
    TOOL = "tool"
    AGENT = "agent"
    WORKFLOW = "workflow"
    RETRIEVAL = "retrieval"
    RERANK = "rerank"
    GUARDRAIL = "guardrail"
    EVALUATOR = "evaluator"
    MEMORY = "memory"
    OTHER = "other"


class FinishReason(StrEnum):
    """Why a model stopped, as a class; the raw spelling stays in the attributes."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALL = "tool_call"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"


STRINGS = pa.list_(pa.string())

CANONICAL = pa.schema(
    [
        # normalise
        ("service_name", pa.string()),
        ("span_kind", pa.string()),  # a Kind
        ("counted", pa.bool_()),
        ("operation", pa.string()),
        ("provider", pa.string()),
        ("request_model", pa.string()),
        ("response_model", pa.string()),
        ("response_id", pa.string()),
        ("service_tier", pa.string()),
        ("streaming", pa.bool_()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("cache_read_tokens", pa.int64()),
        ("cache_write_tokens", pa.int64()),
        ("reasoning_tokens", pa.int64()),
        ("finish_reasons", STRINGS),
        ("request_params", pa.string()),  # JSON object
        ("system_instructions", pa.string()),  # JSON list of parts
        ("input_messages", pa.string()),  # JSON list of {role, parts}
        ("output_messages", pa.string()),  # JSON list of {role, parts}
        ("input_text", pa.string()),
        ("output_text", pa.string()),
        ("tool_name", pa.string()),
        ("tool_call_id", pa.string()),
        ("tool_arguments", pa.string()),  # JSON value
        ("tool_result", pa.string()),  # JSON value
        ("error", pa.bool_()),
        ("error_type", pa.string()),
        ("error_message", pa.string()),
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("agent_name", pa.string()),
        ("workflow_name", pa.string()),
        ("feature", pa.string()),
        ("environment", pa.string()),
        ("release", pa.string()),
        ("prompt_name", pa.string()),
        ("prompt_version", pa.string()),
        ("tags", STRINGS),
        ("metadata", pa.string()),  # JSON object
        ("defects", STRINGS),  # what is wrong with the record itself: truncated_content, withheld_content, ...
        # cost
        ("cost_usd", pa.float64()),  # of counted calls
        ("price_source", pa.string()),
        # failure
        ("failing", pa.bool_()),
        ("failure_reasons", STRINGS),
        # sample
        ("baseline", pa.bool_()),
        ("baseline_rate", pa.float64()),  # at which this span's trace is in the baseline, samplers before us included
        ("arrival_rate", pa.float64()),  # of the samplers before us; null: none said
        ("policy_version", pa.string()),
    ]
)
"""Every derived column with its Arrow type, in the order of the database."""

JSON_COLUMNS = (
    "request_params",
    "system_instructions",
    "input_messages",
    "output_messages",
    "tool_arguments",
    "tool_result",
    "metadata",
)
"""Columns that hold JSON text."""

FEEDBACK = pa.schema(
    [
        ("origin", pa.int32()),  # row of SpanBatch.origins
        ("time_unix_ns", pa.uint64()),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("response_id", pa.string()),
        ("session_id", pa.string()),
        ("name", pa.string()),
        ("value", pa.string()),  # JSON value as sent
        ("label", pa.string()),
        ("comment", pa.string()),
        ("source", pa.string()),  # e.g. "gen_ai.evaluation.result", "logfire", "attribute"
        ("polarity", pa.string()),  # negative, positive, unknown
    ]
)
"""One piece of feedback; what is unknown is null."""
