"""Make drafts until there are enough: what is like anything there is left out, and every reason is counted.

The same sources, dimensions, seed and rest of the project make the same drafts, in the same order.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalgate.synthesize.alike import Seen
from evalgate.synthesize.dimensions import Kind
from evalgate.synthesize.draft import asked_text, draft_of, has_history, user_text
from evalgate.synthesize.language import language_of
from evalgate.synthesize.plan import plan
from evalgate.synthesize.rules import Message, Variant, vary

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from evalgate.synthesize.ask import Asker
    from evalgate.synthesize.dimensions import Catalogue, Dimension
    from evalgate.synthesize.plan import Attempt
    from schema.case import Case

MAX_SOURCE_CHARS = 20_000
NO_TEXT = "its last message has no text"
TOO_LONG = f"its last message is longer than {MAX_SOURCE_CHARS} characters"


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for."""

    dimensions: tuple[Dimension, ...]
    count: int
    seed: int
    drafted_by: str


@dataclass(slots=True)
class Tally:
    """What became of the attempts along one dimension."""

    made: int = 0
    known: int = 0
    """Drafts that were there already, from an earlier time."""
    duplicates: int = 0
    """Left out: they say what something says that is there."""
    not_applicable: int = 0
    """There was nothing to vary."""
    refused: Counter[str] = field(default_factory=Counter)
    """Answers of a model that were no good, by reason."""


@dataclass(frozen=True, slots=True)
class Made:
    """The drafts, and what was left out."""

    drafts: tuple[Case, ...]
    """New ones."""
    known: tuple[Case, ...]
    """Those that were there already."""
    tallies: Mapping[str, Tally]
    """By dimension, in their order."""
    unused: Mapping[str, int]
    """Why sources were not varied, and how many."""
    is_exhausted: bool
    """Whether every attempt was made, and there are fewer than were asked for."""


def make(
    sources: Sequence[Case],
    there: Iterable[Case],
    catalogue: Catalogue,
    order: Order,
    *,
    known_ids: Collection[str] = (),
    asker: Asker | None = None,
    step: Callable[[], None] = lambda: None,
) -> Made:
    """Return drafts of the sources. `there` is everything that a draft must not repeat, the sources among it.

    A draft whose id is in `known_ids` was made at an earlier time; it counts, and is not made again. Without an
    `asker`, values that ask a model are left out. `step` is called for each draft.
    """
    usable, unused = _usable(sources)
    seen = Seen(asked_text(c) for c in there)
    languages = {c.case_id: language_of(user_text(c), catalogue.languages) for c in usable}
    attempts = [
        a for a in plan(usable, order.dimensions, order.seed) if a.value.kind is not Kind.ASK or asker is not None
    ]
    answers = asker.ask_all(attempts, order) if asker is not None else {}
    tallies = {d.name: Tally() for d in order.dimensions}
    made: dict[str, Case] = {}
    known: dict[str, Case] = {}
    enough = False
    for attempt in attempts:
        tally = tallies[attempt.dimension.name]
        if attempt.value.kind is Kind.ASK:
            answer = answers.get(attempt.key)
            tally.refused.update(answer.refused if answer else ())
            variants = list(answer.variants if answer else ())
        else:
            found = vary(_message(attempt, usable, languages, catalogue), attempt.value, _chance(attempt, order.seed))
            tally.not_applicable += found is None
            variants = [] if found is None else [found]
        for draft in _drafts(attempt, variants, catalogue, order, asker):
            if len(made) + len(known) >= order.count:
                enough = True
                break
            if draft.case_id in made or draft.case_id in known:
                tally.duplicates += 1
            elif draft.case_id in known_ids:
                known[draft.case_id] = draft
                tally.known += 1
                step()
            elif seen.has_like(asked_text(draft)):
                tally.duplicates += 1
            else:
                seen.add(asked_text(draft))
                made[draft.case_id] = draft
                tally.made += 1
                step()
        if enough or len(made) + len(known) >= order.count:
            enough = True
            break
    return Made(tuple(made.values()), tuple(known.values()), tallies, unused, not enough)


def _usable(sources: Iterable[Case]) -> tuple[list[Case], dict[str, int]]:
    usable: list[Case] = []
    unused: Counter[str] = Counter()
    for case in sorted(sources, key=lambda c: c.case_id):
        text = user_text(case)
        if not text or len(text) > MAX_SOURCE_CHARS:
            unused[TOO_LONG if text else NO_TEXT] += 1
        else:
            usable.append(case)
    return usable, dict(unused)


def _message(
    attempt: Attempt, usable: Sequence[Case], languages: Mapping[str, str | None], catalogue: Catalogue
) -> Message:
    source = attempt.source
    language = languages[source.case_id]
    others: tuple[str, ...] = ()
    if attempt.value.kind is Kind.ANOTHER:
        own = source.cluster or source.case_id
        others = tuple(
            user_text(c) for c in usable if languages[c.case_id] == language and (c.cluster or c.case_id) != own
        )
    return Message(user_text(source), language, has_history(source), others, catalogue.entities)


def _chance(attempt: Attempt, seed: int) -> random.Random:
    return random.Random(attempt.lot(seed))  # noqa: S311 - a draw that must come out the same again


def _drafts(
    attempt: Attempt, variants: Iterable[Variant], catalogue: Catalogue, order: Order, asker: Asker | None
) -> Iterator[Case]:
    value = attempt.value
    is_asked = value.kind is Kind.ASK and asker is not None
    for variant in variants:
        yield draft_of(
            attempt.source,
            variant,
            attempt.dimension,
            value,
            seed=order.seed,
            drafted_by=order.drafted_by,
            version=asker.version(value) if is_asked and asker else f"{catalogue.version}-{value.version}",
            model=asker.model_name if is_asked and asker else None,
        )
