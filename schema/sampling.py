"""Which traces belong to the baseline: a pure function of the trace id, so that every collector agrees without talking.

W3C consistent probability sampling: randomness R is `rv` of the tracestate member `ot` where present, else the low 56
bits of the trace id; a trace is kept iff R ≥ T, with the rejection threshold T = (1 - rate)·2^56. Whoever is kept at a
rate is kept at every higher one. Source:
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BITS: Final = 56
RANGE: Final = 1 << BITS
HEX_DIGITS: Final = 14
LOW_56: Final = np.uint64(RANGE - 1)

MAX_MEMBERS: Final = 32
MAX_VALUE_CHARS: Final = 256
"""Of a tracestate, and of the value of one of its members (W3C Trace Context, 3.3.1)."""

RANDOM: Final = re.compile(r"[0-9a-f]{14}")
THRESHOLD: Final = re.compile(r"[0-9a-f]{1,14}")


def threshold(rate: float) -> int:
    """Return T for a rate in 0..1; 2^56, which nothing reaches, for 0.

    Raises:
        ValueError: the rate is not a probability.

    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a sampling rate is between 0 and 1, not {rate}")
    return round((1 - rate) * RANGE)


def weight(rate: float) -> float:
    """Return how many traces one kept at this rate stands for; 0 where nothing is kept."""
    return 1 / rate if rate > 0 else 0.0


@dataclass(frozen=True, slots=True)
class TraceState:
    """What the member `ot` of a tracestate says about sampling; None where it says nothing."""

    randomness: int | None = None
    threshold: int | None = None
    """T of the sampler before us: the spans that reach us are those it kept."""


def read_tracestate(text: str) -> TraceState:
    """Read a tracestate header; what does not follow the specification is as if it were not there."""
    for member in text.split(","):
        key, equals, value = member.strip().partition("=")
        if key != "ot" or not equals:
            continue
        fields = dict(f.partition(":")[::2] for f in value.split(";"))
        rv, th = fields.get("rv", ""), fields.get("th", "")
        return TraceState(
            int(rv, 16) if RANDOM.fullmatch(rv) else None,
            int(th.ljust(HEX_DIGITS, "0"), 16) if THRESHOLD.fullmatch(th) else None,
        )
    return TraceState()


def with_threshold(text: str, limit: int) -> str:
    """Return a tracestate whose member `ot` says the rejection threshold T, 0..2^56 - 1: `th` of what goes on.

    `rv` and whatever else `ot` says stay, and so do other members, behind it: a member that was changed comes first. A
    tracestate has 32 members at most. Source: https://www.w3.org/TR/trace-context/#mutating-the-tracestate-field
    """
    if not 0 <= limit < RANGE:
        raise ValueError(f"a threshold of what is kept is between 0 and 2^56 - 1, not {limit}")
    digits = f"{limit:0{HEX_DIGITS}x}".rstrip("0") or "0"
    ours, others = "", []
    for member in text.split(","):
        key, _, value = member.strip().partition("=")
        if key == "ot":
            ours = ours or value
        elif member.strip():
            others.append(member.strip())
    fields = [f for f in ours.split(";") if f and not f.startswith("th:")]
    value = ";".join((f"th:{digits}", *fields))
    if len(value) > MAX_VALUE_CHARS:
        value = ";".join((f"th:{digits}", *(f for f in fields if RANDOM.fullmatch(f.removeprefix("rv:")))))
    return ",".join((f"ot={value}", *others[: MAX_MEMBERS - 1]))


def randomness(trace_id: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the low 56 bits of trace ids given as bytes [n, 16]."""
    return np.ascontiguousarray(trace_id[:, 8:16]).view(">u8").reshape(-1).astype(np.uint64) & LOW_56


def baseline(
    trace_id: NDArray[np.uint8],
    rate: float,
    trace_state: Sequence[str] | None = None,
    which: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return, per span, whether its trace is in the baseline, and with which probability it got there.

    `trace_id` is bytes [n, 16]; `trace_state` the n headers, or None where there are none; with `which`, distinct
    headers, of which it says each span's. The probability is `rate`, or less where a sampler before us kept fewer
    (`th`).
    """
    limit = threshold(rate)
    values = randomness(trace_id)
    rates = np.full(len(values), rate, np.float64)
    if trace_state:
        states = [read_tracestate(text) for text in trace_state]
        own = np.array([s.randomness is not None for s in states])
        random = np.array([s.randomness or 0 for s in states], np.uint64)
        kept_before = np.array([1 - (s.threshold or 0) / RANGE for s in states])
        which = np.arange(len(values)) if which is None else which
        values = np.where(own[which], random[which], values)
        rates = np.minimum(rates, kept_before[which])
    if limit >= RANGE:
        return np.zeros(len(values), np.bool_), rates
    return values >= np.uint64(limit), rates
