"""`evalgate dataset`; `evalgate promote` stands beside it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant
from evalgate.dataset.build import Filters, choose
from evalgate.dataset.chains import write_chains
from evalgate.dataset.from_run import draft_from_run
from evalgate.dataset.promote import Where, promote
from evalgate.dataset.provenance import record, with_approvals
from evalgate.dataset.show import compared_to_json, print_compared, print_versions
from evalgate.dataset.store import DATASETS, add_cases, check_name, load, read_meta
from evalgate.dataset.versions import NOW, compare, list_datasets, versions
from evalgate.errors import BadInput
from evalgate.issues.read import list_issues
from evalgate.issues.store import ISSUES, read_issues, with_standing, write_issues
from evalgate.options import Dsn, Json, Since, Tenant, new_app, since_time
from evalgate.review.actor import actor_or_user
from evalgate.review.cases import list_cases
from evalgate.terminal import Terminal, count_of, one_line
from schema.case import case_to_json

if TYPE_CHECKING:
    from evalgate.dataset.versions import Listed


def register(app: typer.Typer) -> None:
    """Add the group, and the command that lets cases into datasets."""
    app.command("promote")(promote)
    group = new_app("Datasets: promoted cases as versioned files.")
    group.command("build")(build)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("diff")(diff_)
    app.add_typer(group, name="dataset")


def build(
    *,
    name: Annotated[str, typer.Option("--name", help="Its name; the file is evals/datasets/NAME.jsonl.")],
    criteria: Annotated[str | None, typer.Option(help="What a good answer is here, in your words.")] = None,
    feature: Annotated[str | None, typer.Option(help="Only cases of this feature.")] = None,
    failure_mode: Annotated[str | None, typer.Option(help="Only cases of this failure mode.")] = None,
    since: Since = None,
    sample: Annotated[int | None, typer.Option(min=1, help="No more than N cases, the same ones each time.")] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            "--from-run",
            metavar="RUN",
            help="Make drafts of what this run failed: 'latest', an id, a file.",
        ),
    ] = None,
    actor: Annotated[str | None, typer.Option("--by", help="Who does it, for the audit.")] = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Add promoted cases to a dataset. Quarantined cases never get in; what is there stays.

    With --from-run the failures of a run become drafts: in the database where there is one, else in a file beside the
    dataset. They are promoted by a person, and gate nothing before.
    """
    terminal, now = Terminal(), datetime.now(UTC)
    check_name(name)
    if from_run is not None:
        draft_from_run(terminal, name, from_run, Where(dsn, tenant, actor_or_user(actor)), json=json)
        return
    filters = Filters(feature, failure_mode, since_time(since, now), sample)
    with open_tenant(dsn, tenant) as database:
        choice = choose(list_cases(database), filters)
        issues = list_issues(database)
        cases = with_approvals(choice.cases, database)
        chains = record(cases, database, {i.failure_mode: i.id for i in issues})
    left_out = f"left out: {choice.quarantined} quarantined, {choice.rejected} rejected"
    if not cases:
        hint = "promote them: evalgate cases promote --all" if choice.quarantined else "label traces: evalgate label"
        raise BadInput(f"no promoted case fits, so nothing was built ({left_out}); {hint}")
    change = add_cases(name, cases, criteria=criteria, at=now)
    dataset = change.dataset
    chains_file = write_chains(dataset.path, chains, case_ids=[c.case_id for c in dataset.cases])
    write_issues(with_standing(issues, read_issues()))
    if json:
        terminal.emit(
            {
                "name": name,
                "path": str(dataset.path),
                "chains": str(chains_file),
                "version": dataset.version,
                "cases": len(dataset.cases),
                "added": list(change.added),
                "changed": list(change.changed),
                "unchanged": change.unchanged,
                "left_out": {
                    "quarantined": choice.quarantined,
                    "rejected": choice.rejected,
                    "unsampled": choice.unsampled,
                },
            }
        )
        return
    counts = f"{len(change.added)} added, {len(change.changed)} changed, {change.unchanged} unchanged"
    terminal.say(f"{name}: version {dataset.version}, {count_of(len(dataset.cases), 'case')} ({counts})")
    terminal.say(f"{left_out}{f', {choice.unsampled} not drawn' if choice.unsampled else ''}")
    terminal.say(
        f"written to {dataset.path}, with what each case rests on in {chains_file.name} and the issues in {ISSUES}"
    )
    terminal.say("commit all three")
    terminal.say(f"next: evalgate run --dataset {name} --target python:module:function")


def list_(*, json: Json = False) -> None:
    """List the datasets of this folder; one with a line that is no case is told as damaged."""
    terminal = Terminal()
    found = list_datasets(Path())
    if json:
        terminal.emit([_listed_json(d) for d in found])
    elif not found:
        terminal.say(f"No datasets in {DATASETS}. Build one from promoted cases: evalgate dataset build --name NAME")
    else:
        terminal.table(
            ("dataset", "version", "cases", "drafts", "criteria"),
            [
                (
                    d.name,
                    _version_words(d),
                    "" if d.damaged else str(d.cases),
                    str(d.drafts or ""),
                    one_line(d.criteria or "", 60),
                )
                for d in found
            ],
        )
        if any(d.drafts for d in found):
            terminal.say("drafts wait beside them: evalgate promote --list")
    for d in found:
        if d.damaged:
            terminal.note(f"evalgate: {one_line(d.damaged)}")


def _listed_json(d: Listed) -> dict[str, object]:
    if d.damaged:
        return {"name": d.name, "damaged": d.damaged}
    return {
        "name": d.name,
        "version": d.version,
        "cases": d.cases,
        "drafts": d.drafts,
        "built": d.is_built,
        "versions": d.builds,
        "criteria": d.criteria,
    }


def _version_words(d: Listed) -> str:
    if d.damaged:
        return "damaged"
    by_hand = "" if d.is_built else " (edited by hand)" if d.builds else " (written by hand)"
    return f"{d.version}{by_hand}"


def show(
    dataset: Annotated[str, typer.Argument(help="A dataset's name, or a .jsonl file.")], *, json: Json = False
) -> None:
    """Show the cases of a dataset and its versions."""
    terminal = Terminal()
    found = load(dataset)
    meta = read_meta(found.name, found.path.parent)
    is_ours = found.path.resolve() == (DATASETS / found.path.name).resolve()
    known = versions(Path(), found.name) if is_ours else []
    if json:
        terminal.emit(
            {
                "name": found.name,
                "path": str(found.path),
                "version": found.version,
                "criteria": meta.criteria,
                "versions": [asdict(v) for v in known],
                "cases": [case_to_json(c) for c in found.cases],
            }
        )
        return
    terminal.say(f"{found.name}: version {found.version}, {count_of(len(found.cases), 'case')}, {found.path}")
    if meta.criteria:
        terminal.say(f"criteria: {one_line(meta.criteria)}")
    if found.cases:
        terminal.table(
            ("case", "verdict", "failure mode", "trace", "asked"),
            [
                (
                    c.case_id,
                    c.verdict or "",
                    c.failure_mode or "",
                    (c.provenance.trace_id or "")[:16],
                    one_line(c.input.text or "", 60),
                )
                for c in found.cases
            ],
        )
    if known:
        terminal.say()
        print_versions(terminal, known)
    if meta.versions and meta.versions[-1].version != found.version:
        terminal.say("the file was edited by hand since the last build")


def diff_(
    dataset: Annotated[str, typer.Argument(help="A dataset's name.")],
    before: Annotated[
        str | None,
        typer.Argument(metavar="A", help="A version or commit.  [default: the one before B]", show_default=False),
    ] = None,
    after: Annotated[str, typer.Argument(metavar="B", help="Another one; 'now' is the file as it is.")] = NOW,
    *,
    json: Json = False,
) -> None:
    """Say which cases two versions of a dataset differ in, and in which fields. Older versions are read from git."""
    terminal = Terminal()
    compared = compare(Path(), dataset, before, after)
    if json:
        terminal.emit(compared_to_json(dataset, compared))
    else:
        print_compared(terminal, dataset, compared)
