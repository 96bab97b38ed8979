"""`evalgate evals coverage` and `prune`: what is not looked for, and what need not be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from evalgate.align.coverage import cover
from evalgate.align.prune import COSTLY_USD, UNSEEN, Limits, propose
from evalgate.errors import BadInput
from evalgate.evals.options import KnownOptions, with_known_options
from evalgate.figures import percent
from evalgate.files import read_text
from evalgate.options import Json  # noqa: TC001 - as above
from evalgate.terminal import Terminal, count_of
from schema.issue import IssueStatus, issue_to_json

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.align.coverage import Coverage
    from evalgate.align.prune import Proposal

TOO_LITTLE = 1


def register(group: typer.Typer) -> None:
    """Add the commands to the group `evals`."""
    group.command("coverage")(coverage)
    group.command("prune")(prune)


@with_known_options
def coverage(
    *,
    fail_under: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit 1 where less than this share of the issues is covered.")
    ] = None,
    known: KnownOptions,
    json: Json = False,
) -> None:
    """Tell which active issues have an evaluator that may block, and what the others lack."""
    terminal = Terminal()
    found = known.look()
    covered = cover(found.standings, found.known.labelled, found.known.options, disputed=found.known.disputed)
    if json:
        terminal.emit(_coverage_json(covered))
    else:
        fixed = sum(s.issue.status is IssueStatus.FIXED for s in found.standings)
        _show(terminal, covered, found.known.source, fixed)
    if fail_under is not None and covered.share is not None and covered.share < fail_under:
        terminal.note(f"coverage {percent(covered.share)} is less than --fail-under {percent(fail_under)}")
        raise typer.Exit(TOO_LITTLE)


@with_known_options
def prune(
    *,
    apply: Annotated[
        list[str], typer.Option("--apply", metavar="ID", help="Remove the file of this evaluator. May be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    unseen_days: Annotated[int, typer.Option(min=1, help="Days without a sighting after which it is over.")] = (
        UNSEEN.days
    ),
    costly_usd: Annotated[float, typer.Option(min=0, help="US dollars per caught failure that are too much.")] = (
        COSTLY_USD
    ),
    known: KnownOptions,
    json: Json = False,
) -> None:
    """Propose evaluators to remove, with reasons. Nothing is removed but what --apply names."""
    terminal = Terminal()
    found = known.look()
    limits = Limits(unseen=timedelta(days=unseen_days), costly_usd=costly_usd)
    proposals = propose(
        found.trusted, found.standings, found.runs, found.known.cases, now=datetime.now(UTC), limits=limits
    )
    removed = [_remove(name, proposals, known.evaluators) for name in apply]
    if json:
        told = [{"evaluator": p.evaluator, "why": str(p.why), "reason": p.sentence} for p in proposals]
        terminal.emit({"proposals": told, "removed": [str(path) for path in removed]})
        return
    if not proposals:
        terminal.say(f"Nothing to remove: {count_of(len(found.trusted), 'evaluator')}, each with its use.")
        return
    terminal.table(("evaluator", "why", "reason"), [(p.evaluator, str(p.why), p.sentence) for p in proposals])
    for path in removed:
        terminal.say(f"removed {path}; its measurements stay, and git has it")
    if not removed:
        terminal.say("nothing was removed; to remove one: evalgate evals prune --apply ID")


def _show(terminal: Terminal, covered: Coverage, source: str, fixed: int) -> None:
    if not covered.active:
        known = (
            f"{count_of(fixed, 'issue')} fixed"
            if fixed
            else "one is opened by labelling a failure mode: evalgate label"
        )
        terminal.say(f"No active issues in {source}: {known}")
        return
    terminal.say(
        f"{len(covered.covered)} of {count_of(covered.active, 'active issue')} covered ({percent(covered.share)}), "
        f"{percent(covered.weighted)} by occurrences"
    )
    if covered.gaps:
        terminal.table(
            ("issue", "failure mode", "seen", "evaluators", "next"),
            [
                (
                    str(g.standing.issue.id),
                    g.standing.issue.failure_mode,
                    str(g.standing.issue.occurrences),
                    ", ".join(f"{t.spec.id} ({t.grant.permission})" for t in g.standing.evaluators) or "none",
                    g.todo,
                )
                for g in covered.gaps
            ],
        )


def _coverage_json(covered: Coverage) -> dict[str, Any]:
    return {
        "active": covered.active,
        "covered": [issue_to_json(s.issue) for s in covered.covered],
        "coverage": covered.share,
        "coverage_by_occurrences": covered.weighted,
        "gaps": [
            {**issue_to_json(g.standing.issue), "labels": {"bad": g.bad, "good": g.good}, "next": g.todo}
            for g in covered.gaps
        ],
    }


def _remove(name: str, proposals: list[Proposal], folder: Path) -> Path:
    """Remove the file of an evaluator that was proposed.

    Raises:
        BadInput: it was not, or its file cannot be removed.

    """
    if name not in {p.evaluator for p in proposals}:
        raise BadInput(f"{name!r} is not proposed for removal, so nothing was removed. See: evalgate evals prune")
    for path in sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")}):
        value = yaml.safe_load(read_text(path))
        if isinstance(value, dict) and value.get("id") == name:
            try:
                path.unlink()
            except OSError as e:
                raise BadInput(f"cannot remove {path}: {e.strerror or e}") from None
            return path
    raise BadInput(f"the file of {name!r} is not in {folder}")
