"""Whether the run that is accepted may be a lucky one: whoever keeps a baseline compares with its luck every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.run import Run


def luck_words(run: Run, earlier: Sequence[Run]) -> str | None:
    """Return what to say of a run with one attempt a case, where repeats of the same cases are known to disagree.

    `earlier`: other runs of the dataset. Those of another target, or of a case that says something else now, say
    nothing of this one.
    """
    if any(len(r.verdicts) > 1 for r in run.results):
        return None
    here = {(r.case_id, r.content_hash) for r in run.results}
    repeated: set[str] = set()
    flaky: set[str] = set()
    for other in earlier:
        if other.target != run.target:
            continue
        for r in other.results:
            if len(r.verdicts) > 1 and (r.case_id, r.content_hash) in here:
                repeated.add(r.case_id)
                flaky |= {r.case_id} if r.flaky else set()
    if not flaky:
        return None
    return (
        f"each case was tried once, and of {count_of(len(repeated), 'case')} that earlier runs tried several times "
        f"{len(flaky)} did not always come to the same. The luck of this run is in every comparison with it: accept "
        "one that tried them more often (evalgate run --repeats 10), or compare with a fresh one: "
        "evalgate gate --base RUN"
    )
