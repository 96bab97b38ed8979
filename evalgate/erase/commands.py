"""`evalgate erase --trace ID | --user ID | --tenant NAME`."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_database
from evalgate.dataset.store import DATASETS, list_names
from evalgate.erase import database, datasets
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json  # noqa: TC001 - typer reads them at run time
from evalgate.terminal import Terminal, count_of
from schema.erasure import ERASERS, Erased, Erasure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.erasure import Eraser

HEX_DIGITS = frozenset("0123456789abcdef")
NOT_ALL = 1
DELIVERY_S = 10.0
LOOK_S = 0.25


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase")(erase)


def erase(
    *,
    trace: Annotated[list[str] | None, typer.Option("--trace", metavar="ID", help="This trace; repeatable.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="Every trace in which a span names this user.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="Only of this tenant; alone: all that it has.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase; without it, say what would go.")] = False,
    data_dir: Annotated[Path, typer.Option("--data-dir", metavar="DIR", help="Folder of the collector.")] = Path(
        ".evalgate/data"
    ),
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Erase content for good: rows, sums, annotations, cases of datasets, the journal, quarantine.

    Without --yes nothing is changed. Exit code 1: not everything could be erased; the list says what is left.
    """
    asked = _erasure(trace, user, tenant)
    terminal = Terminal()
    erasers = [(point.name, point.load()) for point in entry_points(group=ERASERS)]
    with open_database(dsn, writes=yes) as opened:
        traces = database.traces_of(opened, asked)
        meant = asked if asked.is_whole_tenant else replace(asked, trace_ids=traces)
        with terminal.progress("erasing", len(database.TABLES) + len(list_names(DATASETS)) + len(erasers)) as step:
            # The journal first: from then on nothing that waits in it comes back.
            found = [e for _, eraser in erasers for e in _run(eraser, meant, data_dir, step, only_show=not yes)]
            found += database.erase(opened, meant, traces, step) if yes else database.show(opened, meant, traces)
            if yes and any(e.is_under_way for e in found):
                # What was being delivered when the list was made may have come after its rows were deleted.
                _await_delivery([eraser for _, eraser in erasers], meant, data_dir)
                # Of a user, it may be of a trace that nothing was known of.
                before, traces = traces, tuple(sorted({*traces, *database.traces_of(opened, asked)}))
                if traces != before and not asked.is_whole_tenant:
                    meant = replace(asked, trace_ids=traces)
                    found += (e for _, eraser in erasers for e in eraser(meant, data_dir, only_show=False))
                found += (e for e in database.erase(opened, meant, traces) if e.count)
            found += datasets.erase(traces, at=datetime.now(UTC), only_show=not yes, step=step)
    found += datasets.mentions(traces)
    _report(terminal, asked, traces, found, done=yes, as_json=json)
    if yes and any(e.is_left for e in found):
        raise typer.Exit(NOT_ALL)


def _await_delivery(erasers: Sequence[Eraser], meant: Erasure, data_dir: Path) -> None:
    """Return when nothing is being delivered, or after a while: a batch takes less than that, or fails."""
    end_s = time.monotonic() + DELIVERY_S
    while time.monotonic() < end_s:
        if not any(e.is_under_way for eraser in erasers for e in eraser(meant, data_dir, only_show=True)):
            return
        time.sleep(LOOK_S)


def _erasure(trace: Sequence[str] | None, user: str | None, tenant: str | None) -> Erasure:
    if trace and user is not None:
        raise BadInput("give --trace or --user, not both")
    if not trace and user is None and tenant is None:
        raise BadInput("say what to erase: --trace ID, --user ID or --tenant NAME")
    ids = tuple(t.strip().lower() for t in trace or ())
    for given in ids:
        if len(given) != 32 or not HEX_DIGITS.issuperset(given):
            raise BadInput(f"{given!r} is no trace id: 32 hex digits, as `evalgate traces` shows them")
    if user == "" or tenant == "":
        raise BadInput("--user and --tenant want a name")
    return Erasure(time.time_ns(), tenant, ids, user)


def _run(eraser: Eraser, asked: Erasure, data_dir: Path, step: object, *, only_show: bool) -> list[Erased]:
    found = eraser(asked, data_dir, only_show=only_show)
    if callable(step):
        step()
    return found


def _report(
    terminal: Terminal, asked: Erasure, traces: Sequence[str], found: Sequence[Erased], *, done: bool, as_json: bool
) -> None:
    if as_json:
        terminal.emit(
            {"erased": done, "tenant": asked.tenant, "traces": len(traces), "places": [asdict(e) for e in found]}
        )
        return
    rows = [[e.place, str(e.count), e.unit, e.note] for e in found if e.count or e.note]
    what = count_of(len(traces), "trace")
    if not any(e.count for e in found):
        terminal.say(f"Nothing is stored of this ({what}).")
    terminal.table(["place", "erased" if done else "would go", "what", "note"], rows)
    if not done:
        again = " ".join(["evalgate", *sys.argv[1:], "--yes"])
        terminal.say(f"Nothing was changed. {what} would go for good: {again}")
    elif left := [e for e in found if e.is_left]:
        terminal.say(f"Erased but for {count_of(len(left), 'place')}; see the notes.")
    else:
        terminal.say(f"Erased: {what}. Files of the database that held rows go within some minutes.")
