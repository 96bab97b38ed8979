"""Answers of which the sender says that they are empty, which is more than not saying what they were.

Converters drop empty texts, so such an answer looks like one that was not captured. Here the attributes are asked: a
text of an answer that is there and is "". A message without parts, or with parts without content, is what senders write
that withhold content, and says nothing. So is a list without messages, unless the question was written down: then
content is captured, and a call that ended was answered by nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.processors.normalise.columns import valid
from collector.processors.normalise.failing import ERROR
from collector.processors.normalise.literal import read_value
from schema.batch import STRING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from schema.batch import AttributeTable, SpanBatch
    from schema.dialect import Dialects

EMPTY_ANSWER: Final = '[{"role":"assistant","parts":[]}]'
CONTENT: Final = ".content"


def said_nothing(
    batch: SpanBatch, columns: Mapping[str, pa.Array], is_llm: NDArray[np.bool_], table: Dialects
) -> list[int]:
    """Return the rows of model calls whose answer is said to be empty; of these no answer was found otherwise."""
    silent = np.flatnonzero(is_llm & ~valid(columns["output_messages"]) & (batch.status_code != ERROR))
    if len(silent) == 0:
        return []
    attributes = batch.attributes
    whole = frozenset(table.content["output_messages"])
    texts = frozenset(table.content["answer_text"])
    prefixes = tuple(table.content["output_indexed"])
    plain = [k in texts or (k.startswith(prefixes) and k.endswith(CONTENT)) for k in attributes.keys]
    told = [k in whole for k in attributes.keys]
    if not (any(plain) or any(told)):
        return []
    own = _rows_of(attributes, silent.astype(np.int32))
    own = own[attributes.type[own] == STRING]
    empty = own[np.array(plain)[attributes.key[own]] & (attributes.length[own] == 0)]
    found = set(attributes.owner[empty].tolist())
    ended = valid(columns["input_messages"]) & (valid(columns["finish_reasons"]) | valid(columns["output_tokens"]))
    for row in own[np.array(told)[attributes.key[own]]].tolist():
        messages, owner = read_value(attributes.value(row)), int(attributes.owner[row])
        if _has_an_empty_text(messages) or (messages == [] and ended[owner]):
            found.add(owner)
    return sorted(found)


def _rows_of(attributes: AttributeTable, owners: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the rows of all attributes of these owners, which ascend."""
    first, last = attributes.owner.searchsorted(owners), attributes.owner.searchsorted(owners + np.int32(1))
    count = last - first
    return np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))


def _has_an_empty_text(messages: Any) -> bool:
    """Say whether one of these messages is said to hold a text, and the text to be empty."""
    for message in messages if isinstance(messages, list) else ():
        parts = message.get("parts", message.get("content")) if isinstance(message, dict) else None
        if parts == "" or any(_is_empty_text(part) for part in (parts if isinstance(parts, list) else ())):
            return True
    return False


def _is_empty_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and part.get("content", part.get("text")) == ""
