"""Token figures inside usage objects, and the arithmetic that makes all figures inclusive.

Inclusive, as OpenTelemetry has it: input includes cache reads and writes, output includes reasoning. Emitters differ
even under the same key, so the reported total decides first, the emitter's known habit second, and a part that exceeds
its whole always. Source: OpenTelemetry GenAI conventions, gen_ai.usage.*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from collector.processors.normalise.columns import figures, from_figures
from collector.processors.normalise.literal import read_json_object
from collector.processors.normalise.scalars import figure
from schema.span import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from collector.processors.normalise.subject import Subject

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
TOTAL_IS_ADDED_UP = "total_is_added_up"
EXCLUDES_CACHE, EXCLUDES_REASONING = "input_excludes_cache", "output_excludes_reasoning"


def convert_usage(subject: Subject) -> None:
    """Find token figures in usage objects: what single keys did not tell, and the total that proves the habit."""
    for raw in _objects(subject):
        told = _read(subject, raw)
        same = all(
            told.get(k) is None or subject.known.get(k, subject.found.get(k)) in (None, told[k]) for k in TOKENS[:2]
        )
        for column in TOKENS:
            subject.put(column, told.get(column))
        if same and any(told.get(k) is not None for k in TOKENS[:2]):
            subject.put("total_tokens", told.get("total_tokens"))
            usage = subject.table.usage
            excluded = bool(usage.cache_excluded_by & raw.keys())
            subject.put(EXCLUDES_CACHE, excluded or None)
            if excluded and "total_tokens" not in told:
                # the provider's own figures exclude the cache and have no total: one that a library added up from them
                # proves nothing
                subject.put(TOTAL_IS_ADDED_UP, True)  # noqa: FBT003 - a fact's value
            subject.put(EXCLUDES_REASONING, bool(usage.reasoning_excluded_by & raw.keys()) or None)


def _objects(subject: Subject) -> Iterator[dict[str, Any]]:
    for sent in subject.view.each(subject.table.content["usage"]):
        value = read_json_object(sent)
        if len(value) == 1 and isinstance(inner := next(iter(value.values())), dict):
            yield inner  # provider metadata: {"<provider>": {...}}, some with the provider's own usage in it
            if isinstance(inner.get("usage"), dict):
                yield inner["usage"]
        elif value:
            yield value
    if subject.response is not None and subject.kind in (Kind.LLM, Kind.EMBEDDING):  # others' outputs quote usage
        yield subject.response.usage


def _read(subject: Subject, raw: dict[str, Any]) -> dict[str, int]:
    told = {}
    for column, paths in subject.table.usage.paths.items():
        for path in paths:
            if (value := figure(_at(raw, path))) is not None:
                told[column] = value
                break
    return told


def _at(value: Any, path: str) -> Any:
    for segment in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(segment)
    return value


def inclusive(
    columns: dict[str, pa.Array], excludes_cache: NDArray[np.bool_], excludes_reasoning: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Return input_tokens and output_tokens in the inclusive sense.

    `excludes_*` mark rows whose emitter is known to count without; a total that says otherwise wins over
    EXCLUDES_REASONING and over neither where it is consistent with both.
    """
    given, has_input = figures(columns["input_tokens"])
    answered, has_output = figures(columns["output_tokens"])
    total, has_total = figures(columns["total_tokens"])
    cached = figures(columns["cache_read_tokens"])[0] + figures(columns["cache_write_tokens"])[0]
    thought = figures(columns["reasoning_tokens"])[0]

    plain = has_total & (given + answered == total)
    add_thought = has_total & ~plain & (given + answered + thought == total)
    add_cached = has_total & ~plain & ~add_thought & (given + cached + answered == total)
    add_both = has_total & ~plain & ~add_thought & ~add_cached & (given + cached + answered + thought == total)
    settled = plain | add_thought | add_cached | add_both
    with_cached = add_cached | add_both | (~settled & excludes_cache) | (has_input & (cached > given))
    with_thought = add_thought | add_both | (~settled & excludes_reasoning) | (has_output & (thought > answered))
    return {
        "input_tokens": from_figures(given + np.where(with_cached, cached, 0), has_input),
        "output_tokens": from_figures(answered + np.where(with_thought, thought, 0), has_output),
    }
