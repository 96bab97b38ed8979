"""How spans came to us: their randomness, and what samplers before us said of them. No Python object is made of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.sampling import randomness
from schema.sampling.tracestate import BITS, HEX_DIGITS, MAX_VALUE_CHARS, RANDOM, RANGE, SPACE, THRESHOLD, VALUE, Trust

if TYPE_CHECKING:
    from numpy.typing import NDArray

OURS: Final = r"(?:^|,)[ \t]*ot(?:(?P<equals>=)(?P<value>[^,]*)|[ \t]*(?:,|$))"
"""The first member `ot`."""
MEMBER: Final = r"(?:^|,)[ \t]*ot(?:=|[ \t]*(?:,|$))"
DEFAULT_TRUST: Final = Trust()


@dataclass(frozen=True, slots=True)
class Arrival:
    """How spans came to us, one row each."""

    randomness: NDArray[np.uint64]
    """R."""
    rate: NDArray[np.float64] | None = None
    """What samplers before us let through; NaN where none said. None: none said of any."""
    malformed: NDArray[np.bool_] | None = None
    """Where the member `ot` does not follow the specification. None: nowhere."""
    inconsistent: NDArray[np.bool_] | None = None
    """Where a threshold is said that the trace does not reach: whoever wrote it did not sample by it. None: nowhere."""
    too_small: NDArray[np.bool_] | None = None
    """Where a threshold says a smaller rate than is believed. None: nowhere."""


def arrival(trace_id: NDArray[np.uint8], trace_state: pa.Array | None = None, trust: Trust = DEFAULT_TRUST) -> Arrival:
    """Return R of spans, and what samplers before us said of them.

    `trace_id` is bytes [n, 16], `trace_state` the n headers. A threshold that a trace does not reach is erased, and
    so is one of a rate too small to be believed.
    """
    values = randomness(trace_id)
    if trace_state is None or not trust.reads or _all_empty(trace_state):
        return Arrival(values)
    encoded = pc.fill_null(trace_state.cast(pa.string()), "").dictionary_encode()
    which, said = encoded.indices.to_numpy(), read_tracestates(encoded.dictionary)
    malformed = said.malformed[which] if said.malformed.any() else None
    if said.has_randomness.any():
        values = np.where(said.has_randomness[which], said.randomness[which], values)
    if not said.has_threshold.any():
        return Arrival(values, malformed=malformed)
    told, limit = said.has_threshold[which], said.threshold[which]
    inconsistent = told & (values < limit)
    too_small = told & ~inconsistent & (limit > np.uint64(trust.max_threshold))
    believed = told & ~inconsistent & ~too_small
    rate = np.where(believed, np.ldexp((np.uint64(RANGE) - limit).astype(np.float64), -BITS), np.nan)
    return Arrival(values, rate, malformed, _where(inconsistent), _where(too_small))


def _where(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    return mask if mask.any() else None


def _all_empty(texts: pa.Array) -> bool:
    """Tell whether texts are all "", of plain strings without reading them."""
    if not len(texts):
        return True
    if pa.types.is_string(texts.type) and (buffer := texts.buffers()[1]) is not None:
        ends = np.frombuffer(buffer, np.int32)
        return bool(ends[texts.offset] == ends[texts.offset + len(texts)])
    return not any(texts.unique().to_pylist())


@dataclass(frozen=True, slots=True)
class TraceStates:
    """What several headers say, one row each."""

    randomness: NDArray[np.uint64]
    has_randomness: NDArray[np.bool_]
    threshold: NDArray[np.uint64]
    has_threshold: NDArray[np.bool_]
    malformed: NDArray[np.bool_]


def read_tracestates(headers: pa.Array) -> TraceStates:
    """Read a column of headers, as `read_tracestate` reads each; no Python object is made per header."""
    found = pc.extract_regex(headers, OURS)
    there = found.is_valid()
    equals, value = (pc.fill_null(pc.struct_field(found, name), "") for name in ("equals", "value"))
    value = pc.ascii_rtrim(value, SPACE)
    bad = pc.or_(
        pc.or_(pc.equal(equals, ""), pc.greater(pc.count_substring_regex(headers, MEMBER), 1)),
        pc.or_(
            pc.greater(pc.binary_length(value), MAX_VALUE_CHARS),
            pc.invert(pc.match_substring_regex(value, rf"^(?:{VALUE})$")),
        ),
    )
    random, has_random, random_bad = _field(value, "rv", RANDOM)
    threshold, has_threshold, threshold_bad = _field(value, "th", THRESHOLD)
    malformed = _mask(there) & (_mask(bad) | random_bad | threshold_bad)
    return TraceStates(random, has_random & ~malformed, threshold, has_threshold & ~malformed, malformed)


def _field(value: pa.Array, name: str, shape: str) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a field's numbers, where it is there and right, and where it is there and wrong or there twice."""
    digits = pc.struct_field(pc.extract_regex(value, rf"(?:^|;){name}:(?P<digits>[^;]*)"), "digits")
    there = _mask(digits.is_valid())
    right = there & _mask(pc.fill_null(pc.match_substring_regex(digits, f"^{shape}$"), fill_value=False))
    twice = _mask(pc.greater(pc.count_substring_regex(value, f"(?:^|;){name}:"), 1))
    numbers = np.zeros(len(value), np.uint64)
    numbers[right] = _hexadecimal(digits.filter(pa.array(right)))
    return numbers, right & ~twice, (there & ~right) | twice


def _hexadecimal(digits: pa.Array) -> NDArray[np.uint64]:
    """Return the numbers of lower-case hex digits, at most 14 each; digits that are left out at the end are 0."""
    padded = pc.ascii_rpad(digits, HEX_DIGITS, "0")
    if not len(padded):
        return np.zeros(0, np.uint64)
    characters = np.frombuffer(padded.buffers()[2], np.uint8)[HEX_DIGITS * padded.offset :]
    characters = characters[: HEX_DIGITS * len(padded)].reshape(-1, HEX_DIGITS)
    nibbles = np.where(characters >= ord("a"), characters - (ord("a") - 10), characters & 15).astype(np.uint64)
    shifts = np.array(range(BITS - 4, -1, -4), np.uint64)
    found: NDArray[np.uint64] = np.bitwise_or.reduce(nibbles << shifts, axis=1)
    return found


def _mask(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.bool_)
