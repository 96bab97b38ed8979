"""`evalgate cluster run`: group traces, and know the groups again.

What groups is imported when it is needed: scikit-learn takes 1.7 s.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from evalgate.cluster.behaviour import Scope, conditions_of, read_corpus
from evalgate.cluster.options import AllTraffic  # noqa: TC001 - typer reads it at run time
from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.model.options import ModelOptions, open_from_options, with_model_options
from evalgate.options import Dsn, Json, Tenant, since_time
from evalgate.review.actor import user_name
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.select.recent import started_since
from evalgate.select.traces import iso_time
from evalgate.select.where import parse_where
from evalgate.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evalgate.cluster.behaviour import Corpus
    from evalgate.cluster.find import Found, Known, Settings
    from evalgate.cluster.meaning import Meaning
    from evalgate.cluster.store import Run
    from evalgate.database import TenantDatabase
    from evalgate.model.embed import EmbeddingModel
    from evalgate.select.where import Where

DEFAULT_SINCE: Final = "4w"
DEFAULT_TRACES: Final = 20_000
STEPS: Final = 4


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
    from evalgate.cluster.find import Settings, find  # noqa: PLC0415 - as said above
    from evalgate.cluster.show import print_clusters, run_json, stored_json  # noqa: PLC0415
    from evalgate.cluster.store import Run, latest_run, list_clusters  # noqa: PLC0415

    terminal, now = Terminal(), datetime.now(UTC)
    scope = Scope.ALL if all_traffic else Scope.FAILING
    settings = Settings(scope=scope, least=least)
    conditions = started_since(parse_where(where or ()), since_time(since, now))
    opened = open_from_options(models) if embeddings else None
    model = opened.embeddings(embeddings) if opened and embeddings else None
    with open_tenant(dsn, tenant, writes=not dry_run) as database:
        before = latest_run(database, scope)
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
    print_clusters(terminal, clusters, done or Run(number, 0, scope, body), 50)
    if dry_run:
        terminal.note("evalgate: --dry-run: nothing was written")


def _read(
    terminal: Terminal, database: TenantDatabase, conditions: Where, limit: int, scope: Scope
) -> tuple[Known, int, Corpus]:
    """Return what earlier runs said, the number of this one, and what it groups."""
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
    rows = [r for r in list_cases(database) if r.status is not CaseStatus.REJECTED]
    of_cases = {r.case.provenance.trace_id for r in rows if scope is Scope.ALL or r.case.verdict != "good"}
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


def _require_sklearn() -> None:
    from importlib.util import find_spec  # noqa: PLC0415

    if find_spec("sklearn") is None:
        raise BadInput("grouping needs scikit-learn: pip install 'otel-evalgate[review]'")
