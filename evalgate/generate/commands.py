"""`evalgate evals generate`."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.align.sources import read_known
from evalgate.database import open_tenant, sql
from evalgate.dataset.store import list_names
from evalgate.errors import BadInput
from evalgate.issues.store import ISSUES, read_issues, write_issues
from evalgate.model.options import ModelOptions, with_model_options
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - the decorator reads the hints
from evalgate.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalgate.align.sources import Known
    from evalgate.generate.judging import JudgeTools
    from evalgate.generate.write import Place
    from evalgate.model.options import Models
    from evalgate.terminal import Step
    from schema.alignment import PermissionPolicy
    from schema.case import Case

Bar = Callable[..., Callable[[], None]]
DEFAULT_MAX_CALLS = 500
"""Where neither calls nor money are limited."""
METHODS = ("auto", "rule", "judge")
FOUND, NOT_FOUND, UNTRIED = 0, 1, 2


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
    from evalgate.gate.settings import project_policy  # noqa: PLC0415 - pydantic
    from evalgate.generate.examples import choose_examples  # noqa: PLC0415 - numpy: not for every command
    from evalgate.generate.outcome import outcome_to_json  # noqa: PLC0415
    from evalgate.generate.pipeline import generate as run  # noqa: PLC0415
    from evalgate.generate.request import Method, Request  # noqa: PLC0415
    from evalgate.generate.show import show  # noqa: PLC0415

    terminal = Terminal()
    if method not in METHODS:
        raise BadInput(f"--method {method!r} is none of {', '.join(METHODS)}")
    known = read_known([dataset] if dataset else [], dsn, tenant)
    if dataset is None and known.source == str(ISSUES):
        offered = ", ".join(list_names()[:10])
        raise BadInput(
            f"{ISSUES} names issues, and holds no labelled cases. Take those of a dataset: --dataset NAME"
            f"{f' (here: {offered})' if offered else ''}; or say where the database is: --dsn, EVALGATE_DSN"
        )
    is_live = dataset is None  # a snapshot of issues alone holds no cases: there is nothing to make anything of
    mode = _mode(issue, failure_mode, known)
    numbered = known.issues if is_live else read_issues()  # a number that only this command gave is not kept
    number = next((i.id for i in numbered if i.failure_mode == mode), None)
    comments = _comments(mode, known.cases, dsn, tenant) if is_live else {}
    examples = choose_examples(known.cases, mode, comments=comments, other_modes=include_other_modes)
    place = _free_place(mode)
    request = Request(
        place=place,
        at=datetime.now(UTC),
        method=Method(method),
        issue=number,
        seed=seed,
        force=force,
        dry_run=dry_run,
        policy=project_policy().permission.policy,
    )
    with _bars(terminal, quiet=json) as bar:
        judges = None
        if models.judge_model is not None:
            judges = functools.cache(
                lambda: _judges(
                    models, reflection_model, place, concurrency, max_minutes, seed, len(examples.items), bar
                )
            )
        try:
            outcome = run(examples, request, judges, step=bar("searching a rule", request.shuffles))
        except KeyboardInterrupt:
            terminal.note(
                f"\nstopped. What the models answered is kept in {place.work}: the same command goes on from there"
            )
            raise
    if outcome.written and is_live:
        _export_issues(known, request.policy, models.judge_model or None)
    if json:
        terminal.emit(outcome_to_json(outcome))
    else:
        show(outcome, terminal)
    if outcome.chosen is not None and (outcome.written or dry_run):
        raise typer.Exit(FOUND)
    raise typer.Exit(UNTRIED if outcome.is_untried else NOT_FOUND)


def _mode(issue: int | None, failure_mode: str | None, known: Known) -> str:
    """Return the failure mode that was asked for."""
    from evalgate.generate.examples import modes_of  # noqa: PLC0415 - as above

    if issue is not None and failure_mode is not None:
        raise BadInput("--issue and --failure-mode say the same; give one of them")
    numbers = {i.id: i.failure_mode for i in known.issues}
    modes = modes_of(known.cases)
    told = ", ".join(f"{m!r} ({n} bad)" for m, n in modes[:10]) or "none; label some: evalgate label"
    if issue is not None:
        if issue not in numbers:
            listed = ", ".join(f"{i}: {m!r}" for i, m in sorted(numbers.items())[:10]) or "none"
            raise BadInput(f"no issue {issue} is known of {known.source}. Known: {listed}")
        return numbers[issue]
    if failure_mode is None:
        if len(modes) != 1:
            raise BadInput(f"say of which failure mode: --issue N or --failure-mode NAME. Labelled: {told}")
        failure_mode = modes[0][0]
    if failure_mode not in [m for m, _ in modes]:
        raise BadInput(f"no case is labelled bad with the failure mode {failure_mode!r}. Labelled: {told}")
    return failure_mode


def _comments(failure_mode: str, cases: Sequence[Case], dsn: str | None, tenant: str | None) -> dict[str, str]:
    """Return what reviewers said, by case id. Files of cases do not hold it."""
    with open_tenant(dsn, tenant) as database:
        rows = database.rows(sql(__package__ or "", "comments"), {"failure_mode": failure_mode})
    said = {str(r["annotation_id"]): str(r["comment"]) for r in rows}
    return {c.case_id: said[a] for c in cases if (a := c.provenance.annotation_id) in said}


def _free_place(failure_mode: str) -> Place:
    """Return where the evaluator goes; an id that another file or another failure mode has is left to it."""
    from evalgate.evaluators.files import evaluator_paths, read_evaluator  # noqa: PLC0415 - as above
    from evalgate.generate.write import Place, slug_of  # noqa: PLC0415 - as above
    from evalgate.places import EVALUATORS  # noqa: PLC0415 - as above
    from schema.hashing import short_hash  # noqa: PLC0415 - as above

    wanted = Place(slug_of(failure_mode))
    for path in evaluator_paths(EVALUATORS):
        spec = read_evaluator(path).spec
        if spec.id == wanted.evaluator_id and (path != wanted.file or spec.failure_mode != failure_mode):
            return Place(f"{wanted.evaluator_id}-{short_hash(failure_mode)[:8]}")
    return wanted


def _export_issues(known: Known, policy: PermissionPolicy, judge_model: str | None) -> None:
    """Write where the issues stand now that there is another evaluator, for CI. Only the database knows them all."""
    from evalgate.align.specs import load_specs  # noqa: PLC0415 - as above
    from evalgate.align.standing import Evidence, permissions, standings  # noqa: PLC0415 - as above
    from evalgate.run_files import recent_runs  # noqa: PLC0415 - as above

    trusted = permissions(load_specs(), judge_model=judge_model, policy=policy)
    found = standings(known.issues, trusted, recent_runs(), Evidence(known.sightings))
    write_issues([s.issue for s in found])


def _judges(  # noqa: PLR0917 - what was said on the command line
    options: ModelOptions,
    reflection_model: str | None,
    place: Place,
    concurrency: int,
    max_minutes: float | None,
    seed: int,
    examples: int,
    bar: Bar,
) -> JudgeTools:
    """Return what a judge needs.

    Raises:
        BadInput: no key, an extra that is not installed, or too small a budget.

    """
    try:
        from evalgate.generate.judging import JudgeTools, Limits, shares  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] != "gepa":
            raise
        raise BadInput(
            "the criteria of a judge are improved by gepa, which is not installed: "
            "pip install 'otel-evalgate[gepa,judge]'. Rules need none: --method rule"
        ) from None
    from evalgate.generate.write import earlier  # noqa: PLC0415 - as above
    from evalgate.model.options import open_from_options, spent  # noqa: PLC0415 - as above

    if options.max_calls is None and options.max_usd is None:
        options = replace(options, max_calls=DEFAULT_MAX_CALLS)
    kept, left = shares(options.max_calls, options.max_usd, examples, earlier(place))
    cache = place.work / "answers"
    searching: Models = open_from_options(replace(options, max_calls=left.calls, max_usd=left.usd), cache=cache)
    testing: Models = open_from_options(replace(options, max_calls=kept.calls, max_usd=kept.usd), cache=cache)
    return JudgeTools(
        judge=searching.chat(),
        reflection=searching.chat(reflection_model),
        test_judge=testing.chat(),
        first_judge=searching.impatient().chat(),
        named=testing.chat,
        budget=searching.budget,
        test_budget=testing.budget,
        folder=place.work,
        workers=concurrency,
        seed=seed,
        limits=Limits(time_s=None if max_minutes is None else max_minutes * 60),
        step=bar("asking the judge", options.max_calls or DEFAULT_MAX_CALLS, lambda: spent(searching.budget)),
    )


@contextmanager
def _bars(terminal: Terminal, *, quiet: bool) -> Iterator[Bar]:
    """Yield what makes a bar that appears at its first step; bars follow one another."""
    lock = threading.Lock()
    with ExitStack() as stack:

        def bar(what: str, total: int, status: Callable[[], str] = str) -> Callable[[], None]:
            shown: list[Step] = []

            def step() -> None:
                with lock:  # verdicts come from several threads
                    if not shown:
                        stack.close()  # the one before
                        shown.append(stack.enter_context(terminal.progress(what, total)))
                    shown[0](status())

            return (lambda: None) if quiet else step

        yield bar
