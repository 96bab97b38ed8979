"""`evalgate cluster`: group traces that behave alike, know the groups again, and say what no case covers.

What reads and prints clusters is imported by who does: NumPy takes 0.2 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from evalgate.cluster.behaviour import Scope
from evalgate.cluster.options import AllTraffic  # noqa: TC001 - typer reads it at run time
from evalgate.cluster.run_command import run
from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.files import write_atomic
from evalgate.options import Dsn, Json, Tenant, new_app
from evalgate.places import EVALUATORS
from evalgate.terminal import Terminal, count_of

if TYPE_CHECKING:
    from evalgate.cluster.gaps import Covered
    from evalgate.cluster.plan import Plan
    from evalgate.database import TenantDatabase

NOVEL: Final = "novel"

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
    from evalgate.cluster.store import latest_run, list_clusters  # noqa: PLC0415

    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        latest = latest_run(database, _scope(all_traffic=all_traffic))
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
            latest = store.latest_run(database, _scope(all_traffic=all_traffic))
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
    from evalgate.cluster.store import latest_run  # noqa: PLC0415

    terminal = Terminal()
    specs = load_specs(evaluators)
    with open_tenant(dsn, tenant) as database:
        scope = _scope(all_traffic=all_traffic)
        latest = latest_run(database, scope)
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


def _scope(*, all_traffic: bool) -> Scope:
    return Scope.ALL if all_traffic else Scope.FAILING


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**32:
        raise BadInput(f"{text[:40]!r} is no cluster: give its number. List them: evalgate cluster list")
    return int(text)
