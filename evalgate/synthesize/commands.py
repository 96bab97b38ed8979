"""`evalgate synthesize`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.errors import BadInput
from evalgate.model.options import ModelOptions, open_from_options, with_model_options
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - typer reads them at run time
from evalgate.review.actor import actor_or_user
from evalgate.synthesize.ask import Asker, wanted
from evalgate.synthesize.dimensions import choose, read_catalogue
from evalgate.synthesize.make import Order, make
from evalgate.synthesize.plan import plan
from evalgate.synthesize.show import made_to_json, print_made
from evalgate.synthesize.sources import Asked, read_sources
from evalgate.synthesize.write import check_out, write_database, write_out, write_quarantine
from evalgate.terminal import Terminal, count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.synthesize.dimensions import Catalogue, Dimension
    from evalgate.synthesize.make import Made
    from evalgate.synthesize.sources import Sources
    from schema.case import Case

DEFAULT_COUNT = 20
MAX_COUNT = 10_000
HELP_DIMENSIONS = (
    "What is varied: persona, channel, register, order, numbers, dates, typos, entities, missing, several, context, "
    "no_context; with a model paraphrase, harder; or a YAML file of your own.  [default: all]"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("synthesize")(synthesize)


@with_model_options
def synthesize(
    *,
    models: ModelOptions,
    failure_mode: Annotated[
        list[str], typer.Option("--failure-mode", help="Of failures of this mode alone. May be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    issue: Annotated[int | None, typer.Option("--issue", min=1, metavar="N", help="Of this issue's failures.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME",
            help="Of the labelled cases of this dataset; drafts lie beside it.  [default: those of the database]",
            show_default=False,
        ),
    ] = None,
    dimensions: Annotated[
        str | None,
        typer.Option(
            "--dimensions",
            metavar="A,B|FILE",
            help=HELP_DIMENSIONS,
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=MAX_COUNT, help="Drafts to make.")] = DEFAULT_COUNT,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other drafts; the same one the same.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.jsonl", help="Write the drafts to this file, and nowhere else."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The model that paraphrases.  [default: that of --judge-model]"),
    ] = None,
    templates: Annotated[bool, typer.Option("--templates", help="Ask no model, also where one is configured.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made; write and ask nothing.")] = False,
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor",
            "--by",
            help="Who has them made, and may not promote them.  [default: your user name]",
            show_default=False,
        ),
    ] = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Draft further cases from labelled failures: by rules offline, and through a model where one is configured.

    Drafts are quarantined: nothing runs them before somebody else promotes them (evalgate promote).
    """
    terminal = Terminal()
    if out is not None:
        check_out(out)
    catalogue = read_catalogue()
    chosen = choose(catalogue, dimensions)
    name = None if templates else (model or models.judge_model or None)
    opened = open_from_options(replace(models, judge_model=name))
    if name is None:
        chosen = _without_model(chosen, is_named=dimensions is not None)
    asked = Asked(dataset, tuple(failure_mode), issue, dsn, tenant)
    sources = read_sources(asked, besides=out, writes=out is None and not dry_run)
    order = Order(chosen, count, seed, actor_or_user(actor))
    asker = None if name is None or dry_run else Asker(opened.chat(), catalogue.languages)
    made = _make(terminal, sources, catalogue, order, asker)
    place = _place(asked, out)
    if not dry_run:
        if out is not None:
            write_out(out, made.drafts, sources.cases, order, name)
        elif asked.is_database:
            write_database(asked, made.drafts, order.drafted_by)
        elif dataset is not None and made.drafts:
            write_quarantine(dataset, made.drafts)
    if json:
        terminal.emit(made_to_json(made, order, "nowhere" if dry_run else place))
    else:
        where = f"written nowhere (they would be {place})" if dry_run else place
        print_made(terminal, made, order, where, sources=len(sources.cases), told=sources.told)
        if made.drafts and not dry_run:
            _next(terminal, out, dataset, order.drafted_by)
    for remark in sources.remarks:
        terminal.note(f"evalgate: {remark}")
    if name is not None and dry_run:
        calls = count_of(_calls(sources.cases, order), "call")
        terminal.note(f"with {name} there would be {calls}, and drafts of them in place of others")
    if opened.were_asked:
        terminal.note(f"asked models: {opened.told()}")
    if asker is not None and asker.stopped is not None:
        if not made.drafts and not made.known:
            raise BadInput(f"nothing was made, for the model could not be asked: {asker.stopped}")
        terminal.note(f"evalgate: no further call was made: {asker.stopped}")


def _make(terminal: Terminal, sources: Sources, catalogue: Catalogue, order: Order, asker: Asker | None) -> Made:
    calls = _calls(sources.cases, order) if asker else 0
    known = {c.case_id for c in sources.there}
    with terminal.progress("drafting", order.count + calls) as step:
        if asker is not None:
            asker.step = step
        return make(sources.cases, sources.there, catalogue, order, known_ids=known, asker=asker, step=step)


def _without_model(chosen: tuple[Dimension, ...], *, is_named: bool) -> tuple[Dimension, ...]:
    """Return the dimensions that need no model.

    Raises:
        BadInput: one that needs a model was asked for by name, or all of them do.

    """
    left = tuple(d for d in chosen if not d.needs_model)
    lacking = [d.name for d in chosen if d.needs_model]
    if lacking and (is_named or not left):
        raise BadInput(
            f"{' and '.join(lacking)} cannot be varied without a model, and none is named: --model NAME (and "
            "--judge-url for an endpoint of your own), or other --dimensions"
        )
    return left


def _place(asked: Asked, out: Path | None) -> str:
    if out is not None:
        return f"in {out}"
    return "quarantined in the database" if asked.is_database else f"quarantined beside the dataset {asked.dataset}"


def _next(terminal: Terminal, out: Path | None, dataset: str | None, who: str) -> None:
    where = f" --from {out} --dataset {dataset or 'NAME'}" if out else f" --dataset {dataset}" if dataset else ""
    terminal.say(f"next: evalgate promote --list --synthetic{where}; then somebody other than {who}:")
    terminal.say(f"      evalgate promote ID…{where} --reason WHY")


def _calls(sources: Sequence[Case], order: Order) -> int:
    return len(wanted(plan(sources, order.dimensions, order.seed), order.count))
