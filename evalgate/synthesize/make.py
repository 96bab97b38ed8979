"""Make drafts until there are enough: what is like anything there is left out, and every reason is counted.

The same sources, dimensions, seed and rest of the project make the same drafts, in the same order.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalgate.dataset.reading import require_whole
from evalgate.synthesize.alike import Seen
from evalgate.synthesize.dimensions import Kind
from evalgate.synthesize.draft import asked_text, draft_of, has_history, user_text
from evalgate.synthesize.language import language_of
from evalgate.synthesize.plan import plan
from evalgate.synthesize.rules import Message, vary

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from evalgate.synthesize.ask import Answer, Asker
    from evalgate.synthesize.dimensions import Catalogue, Dimension
    from evalgate.synthesize.plan import Attempt
    from evalgate.synthesize.rules import Variant
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
    attempts = [
        a for a in plan(usable, order.dimensions, order.seed) if a.value.kind is not Kind.ASK or asker is not None
    ]
    writer = _Writer(usable, catalogue, order, asker, asker.ask_all(attempts, order) if asker is not None else {})
    seen = Seen(asked_text(c) for c in there)
    tallies = {d.name: Tally() for d in order.dimensions}
    made: dict[str, Case] = {}
    known: dict[str, Case] = {}
    for attempt in attempts:
        tally = tallies[attempt.dimension.name]
        for draft in writer.drafts(attempt, tally):
            if draft.case_id in known_ids and draft.case_id not in known:
                known[draft.case_id] = draft
                tally.known += 1
            elif draft.case_id in made or draft.case_id in known or seen.has_like(asked_text(draft)):
                tally.duplicates += 1
                continue
            else:
                seen.add(asked_text(draft))
                made[draft.case_id] = draft
                tally.made += 1
            step()
            if len(made) + len(known) == order.count:
                return Made(tuple(made.values()), tuple(known.values()), tallies, unused, is_exhausted=False)
    return Made(tuple(made.values()), tuple(known.values()), tallies, unused, is_exhausted=True)


class _Writer:
    """Writes what an attempt comes to."""

    def __init__(
        self,
        usable: Sequence[Case],
        catalogue: Catalogue,
        order: Order,
        asker: Asker | None,
        answers: Mapping[tuple[str, str, str], Answer],
    ) -> None:
        self._usable = usable
        self._catalogue = catalogue
        self._order = order
        self._asker = asker
        self._answers = answers
        self._languages = {c.case_id: language_of(user_text(c), catalogue.languages) for c in usable}

    def drafts(self, attempt: Attempt, tally: Tally) -> Iterator[Case]:
        """Yield the drafts of an attempt, and count what came to nothing."""
        if attempt.value.kind is Kind.ASK:
            answer = self._answers.get(attempt.key)
            tally.refused.update(answer.refused if answer else ())
            yield from (self._draft(attempt, v, None) for v in (answer.variants if answer else ()))
            return
        others = self._others(attempt)
        source = attempt.source
        said = [user_text(c) for c in others]
        language = self._languages[source.case_id]
        message = Message(user_text(source), language, has_history(source), said, self._catalogue.entities)
        # A draw that must come out the same again.
        found = vary(message, attempt.value, random.Random(attempt.lot(self._order.seed)))  # noqa: S311 - see above
        if found is None:
            tally.not_applicable += 1
        else:
            yield self._draft(attempt, found, others[found.another] if found.another is not None else None)

    def _others(self, attempt: Attempt) -> list[Case]:
        """Return the cases whose requests may come behind the source's: of its language, and not of its cluster."""
        if attempt.value.kind is not Kind.ANOTHER:
            return []
        own, language = _cluster(attempt.source), self._languages[attempt.source.case_id]
        return [c for c in self._usable if self._languages[c.case_id] == language and _cluster(c) != own]

    def _draft(self, attempt: Attempt, variant: Variant, another: Case | None) -> Case:
        value, asker = attempt.value, self._asker
        by_model = asker if value.kind is Kind.ASK else None
        return draft_of(
            attempt.source,
            variant,
            attempt.dimension,
            value,
            seed=self._order.seed,
            drafted_by=self._order.drafted_by,
            version=by_model.version(value) if by_model else f"{self._catalogue.version}-{value.version}",
            model=by_model.model_name if by_model else None,
            another=another,
        )


def _cluster(case: Case) -> str:
    return case.cluster or case.case_id


def _usable(sources: Iterable[Case]) -> tuple[list[Case], dict[str, int]]:
    usable: list[Case] = []
    unused: Counter[str] = Counter()
    for case in sorted(sources, key=lambda c: c.case_id):
        text = user_text(case)
        try:
            require_whole(case)
        except ValueError as e:
            unused[str(e)] += 1
            continue
        if not text or len(text) > MAX_SOURCE_CHARS:
            unused[TOO_LONG if text else NO_TEXT] += 1
        else:
            usable.append(case)
    return usable, dict(unused)
