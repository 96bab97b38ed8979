"""The one thing to do next, out of all that is known: a sentence and where it is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalgate.terminal import count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class NextStep:
    """A sentence, and the page where it is done."""

    said: str
    page: str
    """Name of the page."""
    path: Mapping[str, object] = field(default_factory=dict)
    link: str = "Open"


@dataclass(frozen=True, slots=True)
class Known:
    """What decides. Issues are (number, failure mode)."""

    reopened: Sequence[tuple[int, str]] = ()
    rising: Sequence[tuple[int, str]] = ()
    """Active ones with more than was to be expected."""
    new: Sequence[tuple[int, str]] = ()
    disputed: Mapping[str, int] = field(default_factory=dict)
    """Items on which reviewers differ, by queue."""
    gap: tuple[int, str, str] | None = None
    """The most frequent active issue without a trusted evaluator: number, mode, what it lacks."""
    guidance: str = ""
    """What there is to label."""
    flagged: int = 0
    labelled: int = 0


def next_step(known: Known) -> NextStep:
    """Return what comes first: what broke again, what grows, what only people can settle, what nobody looks for."""
    if known.reopened:
        number, mode = known.reopened[0]
        return NextStep(f"{_name(mode)} was seen again after it was fixed.", "issue", {"number": number}, "Look at it")
    if known.rising:
        number, mode = known.rising[0]
        return NextStep(
            f"{_name(mode)} comes more often than was to be expected.", "issue", {"number": number}, "Look at it"
        )
    if known.disputed:
        queue, count = next(iter(known.disputed.items()))
        said = f"Reviewers differ on {count_of(count, 'trace')} of the queue {queue}."
        return NextStep(said, "queue", {"name": queue}, "Settle them")
    if known.new:
        said = f"{count_of(len(known.new), 'failure mode')} nobody has taken up: {_name(known.new[0][1])}"
        said += " and others." if known.new[1:] else "."
        return NextStep(said, "issues", {}, "Go through them")
    if known.gap is not None:
        number, mode, lacks = known.gap
        return NextStep(f"No trusted evaluator looks for {_name(mode)}: {lacks}", "issue", {"number": number}, "See it")
    if known.guidance:
        return NextStep(known.guidance, "queues", {}, "Review")
    if known.flagged > known.labelled:
        return NextStep(
            f"{count_of(known.flagged, 'trace')} flagged, {known.labelled} reviewed.", "queues", {}, "Review"
        )
    return NextStep("Nothing waits. Traces that come in are read as they come.", "traces", {}, "See the traces")


def _name(mode: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{one_line(mode, NAME_CHARS)}\N{RIGHT DOUBLE QUOTATION MARK}"
