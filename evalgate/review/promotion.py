"""Who may let a case into datasets: nobody his own variant, and nobody a draft without a reason. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.review.disputes import DECIDE
from evalgate.terminal import count_of
from schema.person import is_same_person

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema.case import Case

SHOWN = 3


def is_own(case: Case, actor: str) -> bool:
    """Return whether the case is a variant that this person had synthesized; writing a name otherwise changes nothing.

    A draft of what a run failed is nobody's own: its question was let in before, and the run gave the answer.
    """
    made = case.provenance
    return made.is_variant and made.drafted_by is not None and is_same_person(made.drafted_by, actor)


def check_promotion(cases: Iterable[Case], *, actor: str, reason: str) -> None:
    """Let a promotion pass.

    Raises:
        BadInput: a case is the actor's own variant, or a draft is promoted without a reason.

    """
    drafts = [c for c in cases if c.provenance.is_draft]
    if own := [c.case_id for c in drafts if is_own(c, actor)]:
        some = ", ".join(own[:SHOWN]) + (" …" if len(own) > SHOWN else "")
        raise BadInput(
            f"{actor!r} had {len(own)} of these made ({some}), and nobody lets in his own drafts; nothing was "
            "promoted. Somebody else has to look at them: --actor NAME"
        )
    if drafts and not reason.strip():
        raise BadInput(
            f"{drafts[0].case_id} is a draft: say why it is a good case, with --reason; nothing was promoted"
        )


def disputed_words(count: int, *, are_left_out: bool) -> str:
    """Say that reviewers differ about cases that were to be promoted, and what settles it."""
    if are_left_out:
        return f"left out: {count_of(count, 'case')} about which reviewers differ. Decide: {DECIDE}"
    return f"reviewers differ about {count_of(count, 'case')} that you named. Decide: {DECIDE}"
