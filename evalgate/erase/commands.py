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
from evalgate.erase.delivery import await_delivery
from evalgate.erase.holds import held_among, require_none
from evalgate.erase.loose import contexts_of
from evalgate.erase.turn import turn
from evalgate.errors import BadInput
from evalgate.options import Dsn, Json  # noqa: TC001 - typer reads them at run time
from evalgate.terminal import Terminal, count_of
from schema.erasure import ERASERS, Erased, Erasure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import Database
    from schema.erasure import Eraser, Waiting

HEX_DIGITS = frozenset("0123456789abcdef")
NOT_ALL = 1


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
    despite_hold: Annotated[
        bool, typer.Option("--despite-hold", help="Also what is held (evalgate hold list).")
    ] = False,
    data_dir: Annotated[Path, typer.Option("--data-dir", metavar="DIR", help="Folder of the collector.")] = Path(
        ".evalgate/data"
    ),
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait for what is being delivered.")
    ] = 600.0,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Erase content for good: rows, sums, annotations, cases of datasets, the journal, quarantine.

    What is held (evalgate hold) is not, unless you say so.

    Without --yes nothing is changed. Exit code 1: not everything could be erased; the list says what is left.
    Running it again is harmless, and finishes what could not be finished.
    """
    asked = _erasure(trace, user, tenant)
    terminal = Terminal()
    erasers = [point.load() for point in entry_points(group=ERASERS)]
    with open_database(dsn, writes=yes) as opened:
        if yes:
            traces, found = _carry_out(
                opened, asked, erasers, data_dir, terminal=terminal, timeout_s=timeout, despite_hold=despite_hold
            )
        else:
            traces = database.traces_of(opened, asked)
            if held := held_among(opened, asked, traces):
                terminal.note("\n".join(f"held, and erased with --despite-hold only: {h}" for h in held))
            meant = _meant(asked, traces)
            found = _run(erasers, meant, data_dir, only_show=True)
            found += database.show(opened, asked, traces, contexts_of(opened, meant, traces, ()))
            found += datasets.erase(traces, at=datetime.now(UTC), only_show=True)
    found += datasets.mentions(traces)
    _report(terminal, asked, traces, found, done=yes, as_json=json)
    if yes and any(e.is_left for e in found):
        raise typer.Exit(NOT_ALL)


def _carry_out(
    opened: Database,
    asked: Erasure,
    erasers: Sequence[Eraser],
    data_dir: Path,
    *,
    terminal: Terminal,
    timeout_s: float,
    despite_hold: bool,
) -> tuple[tuple[str, ...], list[Erased]]:
    """Erase: note it, wait until what came before the note is delivered, then delete what is stored.

    A batch that was read before the note is stored whole, however often it has to be tried: only when it is confirmed
    is a deletion the last word.
    """

    def known() -> tuple[str, ...]:
        told = {t for eraser in erasers for t in eraser.recall(asked, data_dir).trace_ids}
        return tuple(sorted({*database.traces_of(opened, asked), *told}))

    def waiting() -> list[Waiting]:
        return [w for eraser in erasers for w in eraser.waiting(noted)]

    def look_for_holds(among: Sequence[str]) -> None:
        if not despite_hold:
            require_none(held_among(opened, asked, among))

    look_for_holds(known())
    noted = _run(erasers, _meant(asked, known()), data_dir, only_show=False)
    late = await_delivery(waiting, timeout_s, terminal.note)
    traces: tuple[str, ...] | None = None
    found, more = noted, known()
    while more != traces:
        # What was delivered or set aside meanwhile may name the user in further traces.
        traces = more
        found = _together([*found, *_run(erasers, _meant(asked, traces), data_dir, only_show=False)])
        more = known()
    look_for_holds(traces)
    # Remembered before the spans go that tell of them: a run that ends before its end is taken up by the next.
    told = {c for eraser in erasers for c in eraser.recall(asked, data_dir).contexts}
    meant = _meant(asked, traces)
    meant = replace(meant, contexts=contexts_of(opened, meant, traces, told))
    if meant.contexts:
        found = _together([*found, *_run(erasers, meant, data_dir, only_show=False)])
    places = len(database.TABLES) + len(list_names(DATASETS, drafts=True))
    with turn(opened, timeout_s, terminal.note), terminal.progress("erasing", places) as step:
        # Who else is in a session is known when all is delivered.
        rows = database.erase(opened, meant, traces, () if late else meant.contexts, step)
        cases = datasets.erase(traces, at=datetime.now(UTC), only_show=False, step=step)
    again = "what it holds of this may still be stored: run this again, which finishes it"
    found += (Erased(w.place, "waiting", w.requests, f"{w.note}; {again}", is_left=True) for w in late)
    if not any(e.is_left for e in found):
        for eraser in erasers:
            eraser.finish(asked, data_dir)
    return traces, [*found, *rows, *cases]


def _meant(asked: Erasure, traces: tuple[str, ...]) -> Erasure:
    return asked if asked.is_whole_tenant else replace(asked, trace_ids=traces)


def _run(erasers: Sequence[Eraser], meant: Erasure, data_dir: Path, *, only_show: bool) -> list[Erased]:
    return [e for eraser in erasers for e in eraser(meant, data_dir, only_show=only_show)]


def _together(found: Sequence[Erased]) -> list[Erased]:
    """Return one entry for each place that was erased from more than once; the last one's note holds."""
    sums: dict[tuple[str, str], Erased] = {}
    for e in found:
        before = sums.get((e.place, e.unit))
        sums[e.place, e.unit] = e if before is None else replace(e, count=before.count + e.count)
    return [*sums.values()]


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


def _report(
    terminal: Terminal, asked: Erasure, traces: Sequence[str], found: Sequence[Erased], *, done: bool, as_json: bool
) -> None:
    if as_json:
        terminal.emit(
            {"erased": done, "tenant": asked.tenant, "traces": len(traces), "places": [asdict(e) for e in found]}
        )
        return
    rows = [[e.place, str(e.count), e.unit, e.note] for e in found if e.count or e.note]
    if rows:
        terminal.table(["place", "erased" if done else "would go", "what", "note"], rows)
    terminal.say(_verdict(traces, found, again=None if done else " ".join(["evalgate", *sys.argv[1:], "--yes"])))


def _verdict(traces: Sequence[str], found: Sequence[Erased], *, again: str | None) -> str:
    """Return the last sentence; `again` is the command that does what was only shown."""
    # Files of a journal go whoever they tell of.
    is_something = bool(traces) or any(e.count for e in found if e.unit != "files")
    what = count_of(len(traces), "trace") if traces else "what belongs to no trace"
    if again is not None:
        if not is_something:
            return f"Nothing is stored of this. To drop also what is received of it and not delivered yet: {again}"
        return f"Nothing was changed. It would go for good, {what}: {again}"
    if left := [e for e in found if e.is_left]:
        return f"Not everything is erased: {count_of(len(left), 'place')} left; see the notes."
    if not is_something:
        return "Nothing was stored of this."
    return f"Erased: {what}. Files of the database that held rows go within some minutes."
