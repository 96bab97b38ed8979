"""Which labelled cases an evaluator of a failure mode can be made from, in numbers, and how many are lacking. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema.run import observed_output
from schema.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema.case import Case
    from schema.run import Output

    Said = tuple[str | None, str, str]
    """What was asked, what was answered, and the tools that were called."""

LEAST_OF_EACH: Final = 8
"""Examples of each kind below which chance cannot be told from a pattern: four to search in, four to test."""


@dataclass(frozen=True, slots=True)
class Usable:
    """Labelled answers, each counted once, and only where all of its labels say the same."""

    bad: dict[str, frozenset[Said]]
    """By failure mode."""
    good: frozenset[Said]

    def count(self, failure_mode: str) -> tuple[int, int]:
        """Return how many (bad, good) examples of a failure mode there are."""
        bad = self.bad.get(failure_mode, frozenset())
        return len(bad - self.good), len(self.good - bad)


def usable(cases: Iterable[Case]) -> Usable:
    """Return what can be used of cases; `evalgate.generate.examples` chooses the same."""
    bad: defaultdict[str, set[Said]] = defaultdict(set)
    good = set()
    for case in cases:
        output = observed_output(case)
        if output is None:
            continue
        if case.verdict is Verdict.GOOD:
            good.add(said(case, output))
        elif case.verdict is Verdict.BAD:
            bad[case.failure_mode or ""].add(said(case, output))
    return Usable({mode: frozenset(those) for mode, those in bad.items()}, frozenset(good))


def said(case: Case, output: Output) -> Said:
    """Return what tells an example from others: the same answer to the same question is one."""
    return case.input.text, output.text, repr([(c.get("name"), c.get("arguments")) for c in output.tool_calls])


def missing(bad: int, good: int) -> tuple[int, int]:
    """Return how many (bad, good) examples are lacking."""
    return max(0, LEAST_OF_EACH - bad), max(0, LEAST_OF_EACH - good)


def lacking_words(bad: int, good: int) -> str | None:
    """Say what to label so that an evaluator can be made from so many; None: there is enough."""
    wanted = [
        f"{more} more {kind} {'answer' if more == 1 else 'answers'} ({there} so far)"
        for more, kind, there in zip(missing(bad, good), ("bad", "good"), (bad, good), strict=True)
        if more
    ]
    return f"label {' and '.join(wanted)}" if wanted else None
