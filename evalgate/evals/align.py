"""`evalgate evals align`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.align.labelled import Partial
from evalgate.align.show import HEADER, details, row, to_json
from evalgate.align.sources import read_known
from evalgate.align.specs import lacking_model, load_all
from evalgate.align.track import HowToAlign, align, steps_of
from evalgate.errors import BadInput
from evalgate.evals.options import Datasets, Folder, permission_policy
from evalgate.model.options import ModelOptions, open_from_options, with_model_options
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - typer reads them at run time
from evalgate.places import EVALUATORS
from evalgate.terminal import Terminal, count_of
from schema.alignment import PermissionRule  # noqa: TC001 - as above
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.evaluator import Evaluator

DROPPED = 1
NOT_MEASURED = 2


def register(group: typer.Typer) -> None:
    """Add the command to the group `evals`."""
    group.command("align")(align_)


@with_model_options
def align_(
    *,
    ids: Annotated[list[str] | None, typer.Argument(help="Evaluators.  [default: all]", show_default=False)] = None,
    models: ModelOptions,
    dataset: Datasets = [],  # noqa: B006 - typer copies it
    evaluators: Folder = EVALUATORS,
    partial: Annotated[
        Partial, typer.Option(help="What partial verdicts are: apart from the matrix, passes, or failures.")
    ] = Partial.APART,
    other_modes: Annotated[
        bool, typer.Option("--other-modes", help="Take bad cases of other failure modes as good ones.")
    ] = False,
    consistency: Annotated[
        int, typer.Option(min=0, max=20, metavar="N", help="Ask judges N times again, and with answers swapped.")
    ] = 0,
    injection: Annotated[
        bool,
        typer.Option("--injection", help="Attack judges with answers that ask for a verdict: some 160 calls each."),
    ] = False,
    rule: Annotated[
        PermissionRule | None,
        typer.Option(
            help="What permission compares: the lower bound of MCC, or MCC itself.  "
            "[default: what evals/gate.yaml says, else lower_bound]",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Cases at once.")] = 8,
    fail_on_drop: Annotated[
        bool,
        typer.Option(
            "--fail-on-drop", help="Exit 1 where agreement has dropped on new labels, or a permission has sunk."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, and write nothing.")] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Measure evaluators on labelled cases, and say what that permits them. Writes evals/alignment/."""
    terminal = Terminal()
    opened = open_from_options(models)
    chosen = pick(load_all(evaluators, opened.chat), ids or ())
    waiting = [e for e in chosen if lacking_model(e)]
    if waiting and (ids or len(waiting) == len(chosen)):
        raise BadInput(f"{waiting[0].spec.id} is a judge: {lacking_model(waiting[0])}")
    known = read_known(dataset, dsn, tenant)
    if not known.cases:
        raise BadInput(f"there are no labelled cases in {known.source}. Label traces: evalgate label")
    how = HowToAlign(
        partial=partial,
        other_modes=other_modes,
        consistency=consistency,
        injection=injection,
        concurrency=concurrency,
        policy=permission_policy(rule),
        keep=not dry_run,
    )
    ready = [e for e in chosen if e not in waiting]
    total = sum(steps_of(e, known.cases, how) for e in ready)
    with terminal.progress("measuring", total) as step:
        found = [align(e, known.cases, how, now=lambda: datetime.now(UTC), step=step) for e in ready]
    for each in waiting:
        terminal.note(f"{each.spec.id} is not measured: {lacking_model(each)}")
    if json:
        terminal.emit(
            {
                "source": known.source,
                "remarks": list(known.remarks),
                "rule": str(how.policy.rule),
                "evaluators": [to_json(a, known.options) for a in found],
                "not_measured": [e.spec.id for e in waiting],
                "cost": {"calls": opened.budget.calls, "usd": opened.budget.usd, "unpriced": opened.budget.unpriced},
            }
        )
    elif ids or len(found) == 1:
        for aligned in found:
            for line in details(aligned, how.policy, known.options):
                terminal.say(line)
    else:
        terminal.table(HEADER, [row(a, how.policy, known.options) for a in found])
        terminal.say(
            f"measured on {count_of(len(known.cases), 'case')} of {known.source}; more of one: evalgate evals align ID"
        )
    for remark in known.remarks:
        terminal.note(remark)
    if opened.were_asked:
        terminal.note(f"asked models: {opened.told()}")
    if any(a.measurement is None and a.judged for a in found):
        raise typer.Exit(NOT_MEASURED)
    if fail_on_drop and any(a.sunk_from is not None or (a.drop is not None and a.drop.is_alarm) for a in found):
        raise typer.Exit(DROPPED)


def pick(evaluators: Sequence[Evaluator], ids: Sequence[str]) -> list[Evaluator]:
    """Return the evaluators with these ids, all where none is given.

    Raises:
        BadInput: there is none of an id.

    """
    by_id = {e.spec.id: e for e in evaluators}
    for wanted in ids:
        if wanted not in by_id:
            raise BadInput(f"there is no evaluator {wanted!r}.{did_you_mean(wanted, by_id)}")
    return [by_id[i] for i in dict.fromkeys(ids)] if ids else list(evaluators)
