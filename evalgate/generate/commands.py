"""`evalgate evals generate`."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant, sql
from evalgate.dataset.store import load
from evalgate.errors import BadInput
from evalgate.issues.store import ISSUES, read_issues
from evalgate.model.options import ModelOptions, with_model_options
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - the decorator reads the hints
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from evalgate.database import TenantDatabase
    from evalgate.generate.judging import JudgeTools
    from evalgate.generate.write import Place
    from evalgate.model.options import Models
    from schema.case import Case

DEFAULT_MAX_CALLS = 500
"""Where neither calls nor money are limited."""
METHODS = ("auto", "rule", "judge")
FOUND, NOT_FOUND = 0, 1


def register(group: typer.Typer) -> None:
    """Add the command to the group `evals`."""
    group.command("generate")(generate)


@with_model_options
def generate(
    *,
    issue: Annotated[int | None, typer.Option("--issue", min=1, help="The issue: see evalgate issues list.")] = None,
    failure_mode: Annotated[
        str | None, typer.Option("--failure-mode", metavar="NAME", help="Or its failure mode.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Labelled cases of a dataset, without a database.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", help="auto: a rule, or else a judge; rule; judge.", metavar="|".join(METHODS))
    ] = "auto",
    include_other_modes: Annotated[
        bool,
        typer.Option("--include-other-modes", help="Take bad cases of other failure modes as good ones of this."),
    ] = False,
    reflection_model: Annotated[
        str | None,
        typer.Option(
            "--reflection-model",
            metavar="NAME",
            help="The model that writes criteria.  [default: the judge]",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Verdicts asked for at once.")] = 4,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", min=0.1, help="Stop improving criteria after so long.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another one divides the examples in another way.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is a person's, or better.")] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
    models: ModelOptions,
) -> None:
    """Make an evaluator from the labels of one failure mode: a rule if one holds out, else a judge."""
    from evalgate.generate.examples import choose_examples  # noqa: PLC0415 - numpy: not for every command
    from evalgate.generate.outcome import outcome_to_json  # noqa: PLC0415
    from evalgate.generate.pipeline import generate as run  # noqa: PLC0415
    from evalgate.generate.request import Method, Request  # noqa: PLC0415
    from evalgate.generate.show import show  # noqa: PLC0415
    from evalgate.generate.write import Place, slug_of  # noqa: PLC0415

    terminal = Terminal()
    if method not in METHODS:
        raise BadInput(f"--method {method!r} is none of {', '.join(METHODS)}")
    mode, number, cases, comments = _labelled(issue, failure_mode, dataset, dsn, tenant)
    examples = choose_examples(cases, mode, comments=comments, other_modes=include_other_modes)
    place = _free_place(mode, Place, slug_of)
    request = Request(
        place=place,
        at=datetime.now(UTC),
        method=Method(method),
        issue=number,
        seed=seed,
        force=force,
        dry_run=dry_run,
    )
    with _bars(terminal, quiet=json) as bar:
        judges = _judges(models, reflection_model, place, concurrency, max_minutes, seed, len(examples.items), bar)
        try:
            outcome = run(examples, request, judges, step=bar("searching a rule", request.shuffles))
        except KeyboardInterrupt:
            terminal.note(
                f"\nstopped. What the models answered is kept in {place.work}: the same command goes on from there"
            )
            raise
    if json:
        terminal.emit(outcome_to_json(outcome))
    else:
        show(outcome, terminal)
    raise typer.Exit(FOUND if outcome.chosen is not None and (outcome.written or dry_run) else NOT_FOUND)


def _labelled(
    issue: int | None, failure_mode: str | None, dataset: str | None, dsn: str | None, tenant: str | None
) -> tuple[str, int | None, list[Case], Mapping[str, str]]:
    """Return the failure mode, its issue, the labelled cases, and reviewers' comments by case id."""
    if issue is not None and failure_mode is not None:
        raise BadInput("--issue and --failure-mode say the same; give one of them")
    if dataset is not None:
        cases = list(load(dataset).cases)
        known = {i.id: i.failure_mode for i in read_issues()}
        mode, number = _mode(issue, failure_mode, cases, known, f"{ISSUES} has no issue")
        return mode, number, cases, {}
    with open_tenant(dsn, tenant) as database:
        from evalgate.issues.read import list_issues  # noqa: PLC0415 - needs the database

        cases = [r.case for r in list_cases(database) if r.status is not CaseStatus.REJECTED]
        known = {i.id: i.failure_mode for i in list_issues(database)}
        mode, number = _mode(issue, failure_mode, cases, known, "there is no issue")
        return mode, number, cases, _comments(database, mode, cases)


def _mode(
    issue: int | None, failure_mode: str | None, cases: Sequence[Case], known: Mapping[int, str], lacking: str
) -> tuple[str, int | None]:
    """Return the failure mode that was asked for and its issue."""
    from evalgate.generate.examples import modes_of  # noqa: PLC0415 - as above

    modes = modes_of(cases)
    told = ", ".join(f"{m!r} ({n} bad)" for m, n in modes[:10]) or "none; label some: evalgate label"
    if issue is not None:
        if issue not in known:
            listed = ", ".join(f"{i}: {m!r}" for i, m in sorted(known.items())[:10]) or "none"
            raise BadInput(f"{lacking} {issue}; there are {listed}")
        return known[issue], issue
    if failure_mode is None:
        if len(modes) != 1:
            raise BadInput(f"say of which failure mode: --issue N or --failure-mode NAME. Labelled: {told}")
        failure_mode = modes[0][0]
    if failure_mode not in [m for m, _ in modes]:
        raise BadInput(f"no case is labelled bad with the failure mode {failure_mode!r}. Labelled: {told}")
    return failure_mode, next((i for i, m in known.items() if m == failure_mode), None)


def _comments(database: TenantDatabase, failure_mode: str, cases: Sequence[Case]) -> dict[str, str]:
    rows = database.rows(sql(__package__ or "", "comments"), {"failure_mode": failure_mode})
    said = {str(r["annotation_id"]): str(r["comment"]) for r in rows}
    return {c.case_id: said[a] for c in cases if (a := c.provenance.annotation_id) in said}


def _free_place(failure_mode: str, place: type[Place], slug: Callable[[str], str]) -> Place:
    """Return where the evaluator goes; a file of the same name for another failure mode is left alone."""
    from evalgate.evaluators.load import load_evaluator  # noqa: PLC0415 - yaml
    from schema.hashing import short_hash  # noqa: PLC0415

    wanted = place(slug(failure_mode))
    if wanted.file.exists() and load_evaluator(wanted.file).spec.failure_mode != failure_mode:
        return place(f"{slug(failure_mode)}-{short_hash(failure_mode)[:8]}")
    return wanted


def _judges(  # noqa: PLR0917 - what was said on the command line
    options: ModelOptions,
    reflection_model: str | None,
    place: Place,
    concurrency: int,
    max_minutes: float | None,
    seed: int,
    examples: int,
    bar: Callable[[str, int], Callable[[], None]],
) -> JudgeTools | None:
    """Return what a judge needs; None where no model is named."""
    if options.judge_model is None:
        return None
    from evalgate.generate.judging import JudgeTools, Limits, shares  # noqa: PLC0415 - as above
    from evalgate.model.options import open_from_options  # noqa: PLC0415 - as above

    if options.max_calls is None and options.max_usd is None:
        options = replace(options, max_calls=DEFAULT_MAX_CALLS)
    kept, left = shares(options.max_calls, options.max_usd, examples)
    cache = place.work / "answers"
    searching: Models = open_from_options(replace(options, max_calls=left.calls, max_usd=left.usd), cache=cache)
    testing: Models = open_from_options(replace(options, max_calls=kept.calls, max_usd=kept.usd), cache=cache)
    return JudgeTools(
        judge=searching.chat(),
        reflection=searching.chat(reflection_model),
        test_judge=testing.chat(),
        budget=searching.budget,
        test_budget=testing.budget,
        folder=place.work,
        workers=concurrency,
        seed=seed,
        limits=Limits(time_s=None if max_minutes is None else max_minutes * 60),
        step=bar("asking the judge", options.max_calls or DEFAULT_MAX_CALLS),
    )


@contextmanager
def _bars(terminal: Terminal, *, quiet: bool) -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Yield what makes a bar that appears at its first step; bars follow one another."""
    with ExitStack() as stack:

        def bar(what: str, total: int) -> Callable[[], None]:
            shown: list[Callable[[], None]] = []

            def step() -> None:
                if not shown:
                    stack.close()  # the one before
                    shown.append(stack.enter_context(terminal.progress(what, total)))
                shown[0]()

            return (lambda: None) if quiet else step

        yield bar
