"""The reasons why a trace is failing, by name. Names are stable: rows, rules and people refer to them.

span_error             the operation failed, however its dialect says so (column `error`)
tool_error             a tool failed: its span, its result, or the tool message that a model was given says so
finish:content_filter  the provider withheld the answer
finish:length          the answer was cut off by the token limit, which was not meant to cut it
finish:error           the model stopped with an error
empty_output           a model call ended without text, tool call or anything else in its answer
refused                the model declined to answer
invalid_json           JSON was asked for, and what came does not parse
guardrail              a guardrail intervened
rule:<name>            a rule of the user's own holds (schema/policy/failure.py)
feedback:<name>        somebody, or an evaluation, said that the answer is bad; of the trace, not of a span
"""

from __future__ import annotations

from typing import Final

from schema.span import FinishReason

SPAN_ERROR: Final = "span_error"
TOOL_ERROR: Final = "tool_error"
EMPTY_OUTPUT: Final = "empty_output"
REFUSED: Final = "refused"
INVALID_JSON: Final = "invalid_json"
GUARDRAIL: Final = "guardrail"
FINISH: Final = (FinishReason.CONTENT_FILTER, FinishReason.LENGTH, FinishReason.ERROR)

REASONS: Final = (
    SPAN_ERROR,
    TOOL_ERROR,
    *(f"finish:{f.value}" for f in FINISH),
    EMPTY_OUTPUT,
    REFUSED,
    INVALID_JSON,
    GUARDRAIL,
)
"""Every built-in name, in the order in which a span lists them."""
USER_RULE: Final = "rule:"
FEEDBACK: Final = "feedback:"
