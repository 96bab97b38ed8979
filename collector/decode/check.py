"""Tell by a kernel, without the GIL, that a request is one the protobuf library reads, and count its members.

The kernel says yes or "ask the library", never no: the words of a refusal, the limits of what is refused, and what is
kept of a request with bad ids stay in one place, `collector.decode.validate`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.decode import kernels
from collector.decode.kernels import (
    ARRAY_OF,
    ENTITY,
    EVENT,
    GROUP,
    KVLIST_OF,
    LINK,
    LOG,
    MESSAGE_OF,
    PAIR_OF,
    REQUEST,
    RESOURCE_OF,
    SCOPE_OF,
    SCOPED,
    SPAN,
    SPAN_ID,
    STATUS,
    TEXT,
    TRACE_ID,
    VALUE_OF,
)
from collector.decode.wire import MAX_FIELDS_OF_ONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from collector.decode.validate import Limits
    from schema.component import Signal

SMALLEST_BYTES: Final = 16
"""What is shorter is not worth a kernel, and one word would be of another type than many are."""

COMMON: Final[Mapping[int, Mapping[int, int]]] = MappingProxyType(
    {
        REQUEST: {1: MESSAGE_OF + GROUP},
        RESOURCE_OF: {1: MESSAGE_OF + PAIR_OF, 3: MESSAGE_OF + ENTITY},
        SCOPE_OF: {1: TEXT, 2: TEXT, 3: MESSAGE_OF + PAIR_OF},
        ENTITY: {1: TEXT, 2: TEXT, 3: TEXT, 4: TEXT},
        PAIR_OF: {1: TEXT, 2: MESSAGE_OF + VALUE_OF},
        VALUE_OF: {1: TEXT, 5: MESSAGE_OF + ARRAY_OF, 6: MESSAGE_OF + KVLIST_OF},
        ARRAY_OF: {1: MESSAGE_OF + VALUE_OF},
        KVLIST_OF: {1: MESSAGE_OF + PAIR_OF},
    }
)
FIELDS_OF: Final[Mapping[Signal, Mapping[int, Mapping[int, int]]]] = MappingProxyType(
    {
        "traces": {
            **COMMON,
            GROUP: {1: MESSAGE_OF + RESOURCE_OF, 2: MESSAGE_OF + SCOPED, 3: TEXT},
            SCOPED: {1: MESSAGE_OF + SCOPE_OF, 2: MESSAGE_OF + SPAN, 3: TEXT},
            SPAN: {1: TRACE_ID, 2: SPAN_ID, 3: TEXT, 5: TEXT}
            | {9: MESSAGE_OF + PAIR_OF, 11: MESSAGE_OF + EVENT, 13: MESSAGE_OF + LINK, 15: MESSAGE_OF + STATUS},
            EVENT: {2: TEXT, 3: MESSAGE_OF + PAIR_OF},
            LINK: {3: TEXT, 4: MESSAGE_OF + PAIR_OF},
            STATUS: {2: TEXT},
        },
        "logs": {
            **COMMON,
            GROUP: {1: MESSAGE_OF + RESOURCE_OF, 2: MESSAGE_OF + SCOPED, 3: TEXT},
            SCOPED: {1: MESSAGE_OF + SCOPE_OF, 2: MESSAGE_OF + LOG, 3: TEXT},
            LOG: {3: TEXT, 5: MESSAGE_OF + VALUE_OF, 6: MESSAGE_OF + PAIR_OF, 12: TEXT},
        },
    }
)
"""Signal → kind of message → field number → what it is. Every text and message field of opentelemetry-proto's
trace.proto, logs.proto, resource.proto and common.proto stands here: what does not is not looked into."""


def actions_of(signal: Signal) -> NDArray[np.uint8]:
    """Return the table of a kernel: uint8[kinds, 128], by tag."""
    table = np.zeros((KVLIST_OF + 1, 128), np.uint8)
    for kind, fields in FIELDS_OF[signal].items():
        for number, action in fields.items():
            table[kind, number << 3 | 2] = action
    return table


class Checker:
    """The kernel with its tables. Any thread may call."""

    def __init__(self) -> None:
        self._actions = {signal: actions_of(signal) for signal in FIELDS_OF}

    def __call__(self, body: bytes | memoryview, signal: Signal, limits: Limits) -> int | None:
        """Return how many spans or log records a protobuf body holds, None where the library has to look at it."""
        size = len(body)
        if size < SMALLEST_BYTES:
            return None
        if isinstance(body, memoryview):
            body = body.toreadonly()  # else the kernel would be compiled a second time
        words: NDArray[np.int64] = np.ndarray((size - 7,), "<i8", body, strides=(1,))
        members, items = limits.max_spans, limits.max_items
        allowed = np.array((members, members, members, items, MAX_FIELDS_OF_ONE, size), np.int64)
        scratch = np.zeros((3, kernels.MAX_DEPTH), np.int64)
        counts, ends, kinds = scratch
        buf = np.frombuffer(body, np.uint8)
        if not kernels.check(buf, words, self._actions[signal], int(signal == "traces"), allowed, counts, ends, kinds):
            return None
        return int(counts[kernels.MEMBERS])


def load_checker() -> Checker:
    """Return a checker that is ready to run. Blocks while its kernel is compiled."""
    from collector.decode.validate import DEFAULT_LIMITS  # noqa: PLC0415 - only to call it once

    checker = Checker()
    checker(bytes(SMALLEST_BYTES), "traces", DEFAULT_LIMITS)
    return checker
