"""What `evalgate synthesize` made and left out, in words and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from evalgate.terminal import count_of, one_line
from schema.case import case_to_json

if TYPE_CHECKING:
    from evalgate.synthesize.make import Made, Order, Tally
    from evalgate.terminal import Terminal

SHOWN_DRAFTS = 10
SHOWN_CHARS = 90


def print_made(terminal: Terminal, made: Made, order: Order, place: str, *, sources: int, told: str) -> None:
    """Print the table of dimensions, some drafts, and what became of what was expected."""
    rows = [
        (name, str(t.made), str(t.duplicates), str(t.not_applicable), str(t.refused.total()), str(t.known))
        for name, t in made.tallies.items()
    ]
    terminal.table(("dimension", "made", "duplicates", "nothing to vary", "refused", "there already"), rows)
    for d in made.drafts[:SHOWN_DRAFTS]:
        terminal.say(f"{d.case_id}  {', '.join(d.tags[2:])}: {one_line(d.input.text or '', SHOWN_CHARS)}")
    if len(made.drafts) > SHOWN_DRAFTS:
        terminal.say(f"… and {len(made.drafts) - SHOWN_DRAFTS} more")
    for reason, number in refusals(made).items():
        terminal.note(f"refused {number}: {reason}")
    for reason, number in made.unused.items():
        terminal.note(f"not varied: {count_of(number, 'case')}: {reason}")
    known = f", {len(made.known)} there already" if made.known else ""
    of = f"of {count_of(sources, 'labelled failure')} of {told}"
    terminal.say(f"{count_of(len(made.drafts), 'new draft')}{known} {of}, {place}")
    kept = sum(d.expected_output is not None or d.expected_tool_calls is not None for d in made.drafts)
    lost = sum(1 for d in made.drafts if d.provenance.synthesis and not d.provenance.synthesis.keeps_meaning)
    if made.drafts:
        terminal.say(
            f"expected answers: {kept} as their source has them; {lost} have none, because what is asked is not the "
            f"same; {len(made.drafts) - kept - lost} have none, because their source has none"
        )
    if made.is_exhausted:
        terminal.say(f"{order.count} were asked for; no more can be made of these: label more failures, or --seed N")


def refusals(made: Made) -> dict[str, int]:
    """Return the reasons why answers of a model were no good, the frequent ones first."""
    total: Counter[str] = Counter()
    for tally in made.tallies.values():
        total.update(tally.refused)
    return dict(total.most_common())


def made_to_json(made: Made, order: Order, place: str) -> dict[str, object]:
    """Return everything; drafts whole."""
    return {
        "place": place,
        "seed": order.seed,
        "drafted_by": order.drafted_by,
        "made": len(made.drafts),
        "there_already": [c.case_id for c in made.known],
        "dimensions": {name: _tally(t) for name, t in made.tallies.items()},
        "sources_left_out": dict(made.unused),
        "is_exhausted": made.is_exhausted,
        "drafts": [case_to_json(d) for d in made.drafts],
    }


def _tally(tally: Tally) -> dict[str, object]:
    return {
        "made": tally.made,
        "there_already": tally.known,
        "duplicates": tally.duplicates,
        "nothing_to_vary": tally.not_applicable,
        "refused": dict(tally.refused),
    }
