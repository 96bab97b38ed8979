"""`evalgate cluster`: group traces that behave alike, know the groups again, and say what no case covers.

What groups is imported by `run` alone: scikit-learn takes 1.7 s.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.files import write_atomic
from evalgate.model.options import ModelOptions, open_from_options, with_model_options
from evalgate.options import Dsn, Json, Tenant, new_app, since_time
from evalgate.places import EVALUATORS
from evalgate.review.actor import user_name
from evalgate.select.recent import started_since
from evalgate.select.traces import iso_time
from evalgate.select.where import parse_where
from evalgate.terminal import Terminal, count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evalgate.cluster.behaviour import Corpus, Scope
    from evalgate.cluster.find import Found, Known, Settings
    from evalgate.cluster.gaps import Covered
    from evalgate.cluster.meaning import Meaning
    from evalgate.cluster.plan import Plan
    from evalgate.cluster.store import Run
    from evalgate.database import TenantDatabase
    from evalgate.model.embed import EmbeddingModel
    from evalgate.select.where import Where

DEFAULT_SINCE: Final = "4w"
DEFAULT_TRACES: Final = 20_000
NOVEL: Final = "novel"
STEPS: Final = 4

AllTraffic = Annotated[
    bool,
    typer.Option(
        "--all/--failing", help="Every trace that stands for traffic, or only those that failed.", show_default=False
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
Evaluators = Annotated[Path, typer.Option("--evaluators", metavar="FOLDER", help="Where the evaluators are.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("Group traces that behave alike, and find what no case covers.")
    group.command("run")(run)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("gaps")(gaps)
    group.command("plan")(plan)
    app.add_typer(group, name="cluster")


@with_model_options
def run(
    *,
    models: ModelOptions,
    all_traffic: AllTraffic = False,
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Only from then on: 30m, 24h, 7d, 2w, or a date.")
    ] = DEFAULT_SINCE,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="CONDITION", help="Such as 'service_name = shop'; repeat it for more."),
    ] = None,
    limit_traces: Annotated[
        int, typer.Option(min=10, max=100_000, help="The latest so many; time grows with their square.")
    ] = DEFAULT_TRACES,
    least: Annotated[
        int | None,
        typer.Option(
            min=2, help="Traces of the smallest cluster.  [default: one in sixty, 5 to 25]", show_default=False
        ),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            "--embeddings",
            metavar="MODEL",
            help="Compare texts by what this model of --judge-url says they mean, not by their words.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be found, and write nothing.")] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Group traces, with the ids that earlier runs gave."""
    _require_sklearn()
    from evalgate.cluster.behaviour import Scope  # noqa: PLC0415 - as said above
    from evalgate.cluster.find import Settings  # noqa: PLC0415

    terminal, now = Terminal(), datetime.now(UTC)
    scope = Scope.ALL if all_traffic else Scope.FAILING
    settings = Settings(scope=scope, least=least)
    conditions = started_since(parse_where(where or ()), since_time(since, now))
    from evalgate.cluster.behaviour import conditions_of  # noqa: PLC0415
    from evalgate.cluster.find import find  # noqa: PLC0415
    from evalgate.cluster.store import list_clusters  # noqa: PLC0415

    opened = open_from_options(models) if embeddings else None
    model = opened.embeddings(embeddings) if opened and embeddings else None
    with open_tenant(dsn, tenant, writes=not dry_run) as database:
        before = _latest(database, scope)
        known, number, corpus = _read(terminal, database, conditions_of(conditions, scope), limit_traces, scope)
        meaning = _meaning(terminal, corpus, model) if model else None
        with terminal.progress("clusters", STEPS) as step:
            step("features")
            found = find(corpus.behaviours, settings, known, step, meaning=meaning)
        body = _body(corpus, found, settings, since, list(where or ()))
        body["texts"] = meaning.to_json() if meaning else None
        done = None
        if corpus.window and not dry_run:
            done = _save(database, found, number, scope, body)
        clusters = list_clusters(database, scope) if done else _as_stored(found, scope, number)
    if opened and opened.were_asked:
        terminal.note(f"asked models: {opened.told()}")
    if before is not None and corpus.window and before.body.get("texts") != body["texts"]:
        terminal.note(_compared_otherwise(before, body["texts"]))
    if json:
        from evalgate.cluster.show import run_json, stored_json  # noqa: PLC0415

        seen = [stored_json(s) for s in clusters if s.number == number]
        events = [
            {"event": e.kind, "cluster": e.cluster_id, "other": e.other_id, "share": e.share} for e in found.events
        ]
        terminal.emit(
            {"run": run_json(done) if done else {**body, "dry_run": True}, "clusters": seen, "events": events}
        )
        return
    if not corpus.window:
        what = "No failing trace" if scope is Scope.FAILING else "No trace of the sample"
        terminal.say(f"{what} since {since} meets the conditions: nothing to group. What is there: evalgate traces")
        return
    from evalgate.cluster.show import print_clusters  # noqa: PLC0415
    from evalgate.cluster.store import Run  # noqa: PLC0415

    print_clusters(terminal, clusters, done or Run(number, 0, scope, body), 50)
    if dry_run:
        terminal.note("evalgate: --dry-run: nothing was written")


def list_(
    *,
    all_traffic: AllTraffic = False,
    limit: Limit = 50,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List the clusters of the latest run, the heaviest first."""
    from evalgate.cluster.show import NOTHING_YET, print_clusters, run_json, stored_json  # noqa: PLC0415
    from evalgate.cluster.store import list_clusters  # noqa: PLC0415

    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        latest = _latest(database, _scope(all_traffic=all_traffic))
        clusters = list_clusters(database, latest.scope) if latest else []
    if json:
        terminal.emit({"run": latest and run_json(latest), "clusters": [stored_json(s) for s in clusters[:limit]]})
    elif latest is None:
        terminal.say(NOTHING_YET + (" --all" if all_traffic else ""))
    else:
        print_clusters(terminal, clusters, latest, limit)


def show(
    cluster: Annotated[str, typer.Argument(metavar="ID", help=f"Its number, or {NOVEL!r}: what is like no others.")],
    *,
    all_traffic: AllTraffic = False,
    limit: Limit = 50,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Read one cluster: its shape, its words, who stands for it, where it came from."""
    from evalgate.cluster import show as shown  # noqa: PLC0415
    from evalgate.cluster import store  # noqa: PLC0415

    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        if cluster == NOVEL:
            latest = _latest(database, _scope(all_traffic=all_traffic))
            rows = store.members(database, 0, latest.number) if latest else []
            if json:
                terminal.emit({"run": latest and latest.number, "traces": [shown.member_json(r) for r in rows[:limit]]})
            elif latest is None:
                terminal.say(shown.NOTHING_YET)
            else:
                shown.print_novel(terminal, rows, limit)
            return
        found = store.find_cluster(database, _number(cluster))
        rows = store.members(database, found.cluster.id, found.number)
        past = store.history(database, found.cluster.id)
    if json:
        traces = [shown.member_json(r) for r in rows[:limit]]
        terminal.emit({**shown.stored_json(found), "traces_shown": traces, "history": past})
    else:
        shown.print_cluster(terminal, found, rows, past)


def gaps(
    *,
    all_traffic: AllTraffic = True,
    evaluators: Evaluators = EVALUATORS,
    limit: Limit = 20,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """List clusters that no case stands for, or whose failure modes no evaluator looks for: the heaviest first."""
    from evalgate.align.specs import load_specs  # noqa: PLC0415
    from evalgate.cluster.gaps import read_coverage  # noqa: PLC0415
    from evalgate.cluster.show import NOTHING_YET, gap_json, print_gaps  # noqa: PLC0415

    terminal = Terminal()
    specs = load_specs(evaluators)
    with open_tenant(dsn, tenant) as database:
        scope = _scope(all_traffic=all_traffic)
        latest = _latest(database, scope)
        coverage = read_coverage(database, scope, specs)
    if json:
        shown = [gap_json(g) for g in coverage.gaps[:limit]]
        terminal.emit({"scope": scope, "covered_share": coverage.share, "gaps": shown})
    elif latest is None:
        flag = " --all" if all_traffic else ""
        terminal.say(f"{NOTHING_YET}{flag}" + ("; of failures alone: evalgate cluster gaps --failing" if flag else ""))
    else:
        print_gaps(terminal, coverage, limit)


def plan(
    cluster: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Its number.  [default: the three heaviest gaps]", show_default=False),
    ] = None,
    *,
    all_traffic: AllTraffic = True,
    evaluators: Evaluators = EVALUATORS,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the draft there; .json or Markdown.")
    ] = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Draft experiments: what to try, on which cases, and what would show that it worked."""
    from evalgate.align.specs import load_specs  # noqa: PLC0415
    from evalgate.cluster.plan import markdown  # noqa: PLC0415
    from evalgate.terminal import safe_json  # noqa: PLC0415

    terminal = Terminal()
    if out is not None and out.exists():
        raise BadInput(f"{out} exists, and you may have edited it: name another file, or remove it")
    specs = load_specs(evaluators)
    with open_tenant(dsn, tenant) as database:
        chosen = _chosen(database, cluster, _scope(all_traffic=all_traffic), specs)
        plans = [_draft(database, covered) for covered in chosen]
    if out is not None:
        is_json = json or out.suffix == ".json"
        text = safe_json([p.to_json() for p in plans], indent=2) + "\n" if is_json else "\n".join(map(markdown, plans))
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, text)
        terminal.note(f"evalgate: {count_of(len(plans), 'draft')} written to {out}")
    elif json:
        terminal.emit([p.to_json() for p in plans])
    elif not plans:
        terminal.say("No gaps, or no clusters yet: evalgate cluster run --all")
    else:
        for one in plans:
            terminal.say(markdown(one))


def _read(
    terminal: Terminal, database: TenantDatabase, conditions: Where, limit: int, scope: Scope
) -> tuple[Known, int, Corpus]:
    """Return what earlier runs said, the number of this one, and what it groups."""
    from evalgate.cluster.behaviour import read_corpus  # noqa: PLC0415
    from evalgate.cluster.store import read_known  # noqa: PLC0415

    with terminal.progress("reading", 1) as step:
        known, number = read_known(database, scope)
        corpus = read_corpus(database, conditions, limit, _along(database, known.cluster_of, scope))
        step()
    return known, number, corpus


def _meaning(terminal: Terminal, corpus: Corpus, model: EmbeddingModel) -> Meaning:
    """Return what the texts of a corpus mean, by a model.

    Raises:
        BadInput: the endpoint does not say, or the budget does not suffice.

    """
    from evalgate.cluster.meaning import Meaning, texts_of  # noqa: PLC0415
    from evalgate.model.chat import ModelError  # noqa: PLC0415
    from evalgate.model.embed import BATCH  # noqa: PLC0415

    texts = texts_of(corpus.behaviours)
    with terminal.progress("embedding texts", -(-len(texts) // BATCH)) as step:
        said = model.embed(texts, step=step)
    if isinstance(said, ModelError):
        raise BadInput(f"texts cannot be compared by {model.name}: {said.message}. What was answered is kept")
    return Meaning(model.name, said.dimensions, model.host, dict(zip(texts, said.rows, strict=True)))


def _compared_otherwise(before: Run, now: Mapping[str, Any] | None) -> str:
    """Say that ids go on though groups are made in another way."""
    was, is_ = (
        f"{t['model']} at {t['endpoint']} ({t['dimensions']} dimensions)" if t else "their words"
        for t in (before.body.get("texts"), now)
    )
    return (
        f"evalgate: run {before.number} compared texts by {was}, this one by {is_}: clusters are known again by the "
        "traces they share; what split or merged may have done so because of that"
    )


def _along(database: TenantDatabase, known: Iterable[str], scope: Scope) -> set[str]:
    """Return the traces that are grouped along: of known clusters, and those that cases were made of."""
    from evalgate.cluster.behaviour import Scope as Scopes  # noqa: PLC0415
    from evalgate.review.cases import CaseStatus, list_cases  # noqa: PLC0415

    rows = [r for r in list_cases(database) if r.status is not CaseStatus.REJECTED]
    of_cases = {r.case.provenance.trace_id for r in rows if scope is Scopes.ALL or r.case.verdict != "good"}
    return {*known, *(t for t in of_cases if t)}


def _body(corpus: Corpus, found: Found, settings: Settings, since: str, where: list[str]) -> dict[str, Any]:
    window = corpus.window
    return {
        "since": since,
        "where": where,
        "from": iso_time(min((b.start_unix_ns for b in window), default=0)),
        "found": corpus.found,
        "traces": len(window),
        "along": len(corpus.behaviours) - len(window),
        "weight": found.total_weight,
        "novel": len(found.novel),
        "novel_weight": sum(m.behaviour.weight for m in found.novel),
        "early_total": found.early_total,
        "late_total": found.late_total,
        "least": settings.least_of(len(corpus.behaviours)),
    }


def _save(database: TenantDatabase, found: Found, number: int, scope: Scope, body: dict[str, Any]) -> Run:
    from evalgate.cluster.store import list_runs, save  # noqa: PLC0415

    save(database, found, number, scope, body, actor=user_name())
    return next(r for r in list_runs(database) if r.number == number)


def _as_stored(found: Found, scope: Scope, number: int) -> list[Any]:
    from evalgate.cluster.store import Stored  # noqa: PLC0415

    totals = (found.total_weight, found.early_total, found.late_total)
    return [Stored(c, scope, number, *totals, 1, c.first_unix_ns, c.last_unix_ns) for c in found.clusters]


def _chosen(database: TenantDatabase, cluster: str | None, scope: Scope, specs: Any) -> list[Covered]:
    from evalgate.cluster.gaps import read_coverage  # noqa: PLC0415
    from evalgate.cluster.store import find_cluster  # noqa: PLC0415

    if cluster is None:
        return list(read_coverage(database, scope, specs).gaps[:3])
    found = find_cluster(database, _number(cluster))
    coverage = read_coverage(database, found.scope, specs)
    for covered in (*coverage.gaps, *coverage.covered):
        if covered.stored.cluster.id == found.cluster.id:
            return [covered]
    raise BadInput(f"cluster {found.cluster.id} was not seen by the latest run: nothing to plan. evalgate cluster list")


def _draft(database: TenantDatabase, covered: Covered) -> Plan:
    from evalgate.cluster.plan import draft  # noqa: PLC0415
    from evalgate.cluster.store import members  # noqa: PLC0415

    stored = covered.stored
    rows = members(database, stored.cluster.id, stored.number)
    return draft(covered, [r["trace_id"] for r in rows if r["representative"]])


def _latest(database: TenantDatabase, scope: Scope) -> Run | None:
    from evalgate.cluster.store import list_runs  # noqa: PLC0415

    return next((r for r in list_runs(database) if r.scope is scope), None)


def _scope(*, all_traffic: bool) -> Scope:
    from evalgate.cluster.behaviour import Scope  # noqa: PLC0415

    return Scope.ALL if all_traffic else Scope.FAILING


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**32:
        raise BadInput(f"{text[:40]!r} is no cluster: give its number. List them: evalgate cluster list")
    return int(text)


def _require_sklearn() -> None:
    from importlib.util import find_spec  # noqa: PLC0415

    if find_spec("sklearn") is None:
        raise BadInput("grouping needs scikit-learn: pip install 'otel-evalgate[review]'")
