"""What is measured of a trace, and what traces are grouped by: names, and no numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from schema.fields import did_you_mean
from schema.statistics import MIN_EFFECTIVE_N

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERY: Final = ""
"""The measure that every trace has."""
FAILING: Final = "failing"
THUMBS_DOWN: Final = "thumbs_down"
REASON: Final = "reason:"
MODE: Final = "mode:"
BAD: Final = "bad"

BY_REASON: Final = "reason"
DAY: Final = "day"
GROUPS: Final[Mapping[str, str]] = {
    "feature": "feature",
    "service_name": "service_name",
    "environment": "environment",
    "release": "release",
    "agent_name": "agent_name",
    "root_name": "root_name",
    DAY: "toDate(start_time)",
}
"""What traces can be grouped by: the name that is typed, the expression that is read."""

MIN_EVENTS: Final = 5.0
"""Sessions with events, and sessions with others: below it the variance between sessions is not known (simulated)."""
MIN_GREATEST: Final = 20.0
"""A sum of weights below so many of the greatest may lack a whole kind of traffic, unseen (simulated)."""
ENOUGH: Final = 10.0
"""Well labelled examples of a mode that a first evaluator needs; 10 to 20 are advised."""


@dataclass(frozen=True, slots=True)
class Least:
    """What a rate must rest on to be told."""

    effective_n: float = MIN_EFFECTIVE_N
    events: float = MIN_EVENTS


def group_expression(name: str | None) -> str:
    """Return the SQL of a group; one of all traces where no name is given.

    Raises:
        BadInput: traces cannot be grouped by that.

    """
    if name in (None, BY_REASON):
        return "''"
    if name not in GROUPS:
        raise BadInput(f"--by {name!r} is nothing to group by.{did_you_mean(str(name), (*GROUPS, BY_REASON))}")
    return GROUPS[name]
