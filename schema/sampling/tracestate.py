"""What the header `tracestate` says about sampling: its member `ot`, read and written.

    vendor=x,ot=th:c;rv:0123456789abcd
             ── ──── ─────────────────
             │  │    rv: the random number R of the trace, 14 hex digits, where it is not in its id
             │  th: the rejection threshold T, up to 14 hex digits, trailing zeros left out: what is kept has R ≥ T
             one member at most

Sources: https://www.w3.org/TR/trace-context/#tracestate-header,
https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BITS: Final = 56
RANGE: Final = 1 << BITS
HEX_DIGITS: Final = 14

MAX_MEMBERS: Final = 32
MAX_VALUE_CHARS: Final = 256
"""Of a tracestate, and of the value of one of its members."""
SPACE: Final = " \t"

VALUE: Final = r"[a-z][a-z0-9]*:[A-Za-z0-9._-]*(?:;[a-z][a-z0-9]*:[A-Za-z0-9._-]*)*"
RANDOM: Final = r"[0-9a-f]{14}"
THRESHOLD: Final = r"[0-9a-f]{1,14}"

MIN_ARRIVAL_RATE: Final = 1e-4
"""One trace in ten thousand: ten times rarer than head samplers are set to where traces are of models. Callers of an
application choose its tracestate, and a trace that arrived at a rate counts for 1 / rate."""
SLACK: Final = 0.01
"""Samplers write thresholds of few digits: one that is set to the smallest rate may say a little less."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What of a tracestate is believed."""

    reads: bool = True
    """Whether anything is."""
    min_rate: float = MIN_ARRIVAL_RATE
    """The smallest rate that a threshold may say."""

    @property
    def max_threshold(self) -> int:
        """The highest threshold that is believed."""
        return RANGE - round(self.min_rate * (1 - SLACK) * RANGE)


@dataclass(frozen=True, slots=True)
class TraceState:
    """What a tracestate says about sampling; None where it says nothing."""

    randomness: int | None = None
    threshold: int | None = None
    """T of the sampler before us: what reaches us is what it kept."""
    malformed: bool = False
    """Its member `ot` does not follow the specification, so it is as if it were not there."""


MALFORMED: Final = TraceState(malformed=True)


def read_tracestate(text: str) -> TraceState:
    """Read one header. What does not follow the specification says nothing; nothing is raised."""
    members = [member.strip(SPACE).partition("=") for member in text.split(",")]
    ours = [(equals, value) for key, equals, value in members if key == "ot"]
    if not ours:
        return TraceState()
    (equals, value), *more = ours
    if more or not equals or len(value) > MAX_VALUE_CHARS or not re.fullmatch(VALUE, value):
        return MALFORMED
    fields = [field.partition(":")[::2] for field in value.split(";")]
    said: dict[str, int] = {}
    for name, shape in (("rv", RANDOM), ("th", THRESHOLD)):
        found = [text for key, text in fields if key == name]
        if len(found) > 1 or (found and not re.fullmatch(shape, found[0])):
            return MALFORMED
        if found:
            said[name] = int(found[0].ljust(HEX_DIGITS, "0"), 16)
    return TraceState(said.get("rv"), said.get("th"))


def without_sampling(text: str) -> str:
    """Return a tracestate without its member `ot`."""
    members = [member.strip(SPACE) for member in text.split(",")]
    return ",".join(m for m in members if m and m.partition("=")[0] != "ot")


def with_threshold(text: str, limit: int | None) -> str:
    """Return a tracestate whose member `ot` says the threshold T, 0..2^56 - 1, of what goes on.

    None erases `th`: whoever does not know a probability must not pass on another's. `rv` and whatever else `ot` says
    stay, in their order, and so do all other members, behind it: a member that was changed comes first. A member `ot`
    that does not follow the specification is replaced. A tracestate has 32 members at most, so a new one takes the
    place of the last.

    Raises:
        ValueError: nothing is kept at this threshold, so nothing can say it.

    """
    if limit is not None and not 0 <= limit < RANGE:
        raise ValueError(f"a threshold of what is kept is between 0 and 2^56 - 1, not {limit}")
    members = [member.strip(SPACE) for member in text.split(",")]
    others = [m for m in members if m and m.partition("=")[0] != "ot"]
    ours = [m.partition("=")[2] for m in members if m.partition("=")[0] == "ot"]
    fields = [] if not ours or read_tracestate(text).malformed else ours[0].split(";")
    kept = [f for f in fields if not f.startswith("th:")]
    if limit is not None:
        digits = f"{limit:0{HEX_DIGITS}x}".rstrip("0") or "0"
        kept = [f"th:{digits}", *kept]
        if len(";".join(kept)) > MAX_VALUE_CHARS:
            kept = [f for f in kept if f.startswith(("th:", "rv:"))]
    said = [f"ot={';'.join(kept)}"] if kept else []
    return ",".join((*said, *others[: MAX_MEMBERS - len(said)]))
