"""Labelled cases with a failure that was planted in them, and a scripted model that can learn to see it."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

from schema.case import Case, CaseInput, Observed, Provenance
from schema.verdict import Verdict
from tests.tools.fake_openai import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.tools.fake_openai import Asked, Reply

MODE = "policy_hallucination"
SPOKEN = (
    "order arrive soon team checked parcel refund policy store customer service happy help please contact account "
    "delivery address invoice item damaged return label shipping window payment card thank reply question answer shop"
)
WORDS = SPOKEN.split()

Answer = tuple[str, tuple["Mapping[str, Any]", ...]]


def sentence(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def planted(
    count: int,
    answer: Callable[[bool, random.Random], str | Answer],
    *,
    seed: int = 0,
    bad: Callable[[int], bool] = lambda n: n % 2 == 0,
    **fields: Any,
) -> list[Case]:
    """Return cases, every second one bad; `answer` says what was answered, and which tools were called."""
    rng = random.Random(seed)  # noqa: S311 - a draw, no secret
    cases = []
    for number in range(count):
        is_bad = bad(number)
        said = answer(is_bad, rng)
        text, calls = said if isinstance(said, tuple) else (said, ())
        cases.append(
            Case(
                case_id=f"case-{number:04}",
                input=CaseInput((), f"{sentence(rng, 9)} {number}"),
                observed=Observed(text, calls, **fields),
                verdict=Verdict.BAD if is_bad else Verdict.GOOD,
                failure_mode=MODE if is_bad else None,
                provenance=Provenance(labelled_at="2026-11-20T09:00:00+00:00"),
            )
        )
    return cases


def noise(_: bool, rng: random.Random) -> str:  # noqa: FBT001 - the seam of `planted`
    """Answer with words that have nothing to do with the label."""
    return sentence(rng, 20) + "."


def seemingly_polite(is_bad: bool, rng: random.Random) -> str:  # noqa: FBT001 - as above
    """Answer so that no rule tells bad from good: which number is wrong depends on other numbers."""
    price, count = rng.randrange(2, 900), rng.randrange(2, 90)
    total = price * count + (rng.randrange(1, 9) if is_bad else 0)
    return f"{sentence(rng, 8)}: {count} at {price} make {total}. {sentence(rng, 5)}."


LEARNT = "recompute the product"


class Learner:
    """A model that judges well once its criteria hold LEARNT, and that writes such criteria when it is asked to."""

    def __init__(self, proposals: list[str] | None = None) -> None:
        self.proposals = proposals or [f"```\nThe total must be right: {LEARNT}, and compare.\n```"]
        self.reflections = 0
        self.judgements = 0

    def __call__(self, asked: Asked) -> Reply:
        """Answer one request."""
        system = asked.messages[0]["content"]
        if system.startswith("You write the criteria"):
            self.reflections += 1
            return self.proposals[min(self.reflections, len(self.proposals)) - 1]
        self.judgements += 1
        if LEARNT not in system:
            return verdict(1.0, "it looks fine")
        text = re.sub(r"(?m)^(?:BEGIN|END) DATA .*$|^Judge .*$", "", asked.messages[1]["content"])
        found = re.search(r"(\d+) at (\d+) make (\d+)", json.loads(text)["new_response"])
        assert found, text
        count, price, total = map(int, found.groups())
        return verdict(1.0 if count * price == total else 0.0, f"{count} x {price} is {count * price}")
