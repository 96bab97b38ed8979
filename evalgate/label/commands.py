"""`evalgate label`, `evalgate agreement`, `evalgate golden`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant
from evalgate.dataset.golden import DEFAULT_NAME, golden_path, read_golden, write_golden
from evalgate.errors import BadInput
from evalgate.issues.again import reopen_seen
from evalgate.label.agreeing import agreement_command
from evalgate.label.from_file import import_labels
from evalgate.label.golden_commands import golden_export, golden_show
from evalgate.options import Dsn, Json, Since, Tenant, new_app, since_time
from evalgate.review.actor import Annotator, actor_or_user
from evalgate.review.agreement import agreement
from evalgate.review.guidance import guidance, guidance_json, read_counts
from evalgate.review.labels import undo, unlabelled
from evalgate.select.recent import started_since
from evalgate.select.traces import count_traces, resolve_trace
from evalgate.select.where import Where
from evalgate.terminal import Terminal, count_of
from schema.verdict import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import TenantDatabase
    from evalgate.label.feed import Feed
    from evalgate.label.state import State

QUEUES_NAMED = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """Which traces somebody wants to label."""

    traces: tuple[str, ...] = ()
    queue: str | None = None
    since: datetime | None = None
    adjudicate: bool = False
    latest: bool = False


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command("label")(label)
    app.command("agreement")(agreement_command)
    golden = new_app("The golden dataset: every trace that people judged, and agree about.")
    golden.command("show")(golden_show)
    golden.command("export")(golden_export)
    app.add_typer(golden, name="golden")


def label(
    traces: Annotated[
        list[str] | None,
        typer.Argument(metavar="TRACE", help="Traces to label, flagged or not: ids, or the beginnings of some."),
    ] = None,
    *,
    queue: Annotated[
        str | None, typer.Option("--queue", metavar="NAME", help="What waits in a queue, one item at a time.")
    ] = None,
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate", help="Where reviewers differ: yours is the decision.")
    ] = False,
    latest: Annotated[
        bool, typer.Option("--latest", help="The latest traces first, in place of those with the most points.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help='Import labels: one {"trace_id", "verdict", "failure_mode"?, "severity"?, "corrected_output"?, '
            '"comment"?, "anchors"?, "span_id"?, "annotator"?, "queue"?, "role"?} per line.',
        ),
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="With --from: save what is right.")] = False,
    undo_count: Annotated[int, typer.Option("--undo", min=0, help="Undo your last N labels.", metavar="N")] = 0,
    progress: Annotated[bool, typer.Option("--progress", help="How far labelling is, and what to do next.")] = False,
    annotator: Annotator = None,
    golden: Annotated[
        str, typer.Option("--golden", metavar="NAME", help="The golden dataset to keep up; '-': none.")
    ] = DEFAULT_NAME,
    since: Since = None,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Label traces by keyboard or from a file: those you name, a queue, else the flagged ones that nobody has labelled.

    Every label makes a quarantined case, and lands in the golden dataset (evals/golden).
    """
    terminal, who = Terminal(), actor_or_user(annotator)
    given = (("TRACE", traces), ("--from", source), ("--undo", undo_count), ("--progress", progress))
    ways = [w for w, asked in given if asked]
    if len(ways) > 1:
        raise BadInput(f"{' and '.join(ways)} exclude each other")
    if queue and (traces or latest):
        raise BadInput(f"{'TRACE' if traces else '--latest'} and --queue exclude each other")
    with open_tenant(dsn, tenant, writes=not progress) as database:
        if progress:
            _progress(terminal, database, json=json)
            return
        if source is not None:
            import_labels(terminal, database, source, who, partial=partial, json=json)
        elif undo_count:
            _undo(terminal, database, undo_count, who, queue, json=json)
        elif json:
            raise BadInput("label --json needs --from, --undo or --progress")
        elif not sys.stdin.isatty():
            raise BadInput("label by keyboard needs a terminal; import labels with --from FILE.jsonl")
        else:
            start = since_time(since, datetime.now(UTC))
            feed = _feed(terminal, database, who, Asked(tuple(traces or ()), queue, start, adjudicate, latest))
            if feed is None or not _walk(terminal, database, who, feed):
                return
        if golden != "-":
            _keep_golden(terminal, database, golden, is_quiet=json)
        if not undo_count:
            reopened = reopen_seen(database)
            if not json:
                for mode, made in reopened.items():
                    terminal.say(f"issue {made.number} ({mode}) is reopened: {made.reason}")
                terminal.say("next: evalgate cases list")


def _feed(terminal: Terminal, database: TenantDatabase, who: str, asked: Asked) -> Feed | None:
    """Return what to walk through; None, said in words, where nothing waits."""
    from evalgate.label.feed import ListFeed, QueueFeed  # noqa: PLC0415 - only the keyboard needs it

    role = Role.ADJUDICATION if asked.adjudicate else Role.LABEL
    if asked.queue is not None:
        from evalgate.queue.store import find_queue  # noqa: PLC0415 - needs the extra packages

        queue = find_queue(database, asked.queue)
        if not queue.is_open:
            raise BadInput(f"the queue {queue.name} is closed. Open it again: evalgate queue edit {queue.name} --open")
        feed = QueueFeed(database, queue, who, is_adjudicating=asked.adjudicate)
        if not feed.waiting():
            kind = "to decide" if asked.adjudicate else "to label"
            terminal.say(f"Nothing {kind} in queue {asked.queue} for {who}. See: evalgate queue progress {asked.queue}")
            terminal.say(f"More items: evalgate queue fill {asked.queue}")
            return None
        return feed
    if asked.traces:
        return ListFeed(tuple(dict.fromkeys(resolve_trace(database, t) for t in asked.traces)), role=role)
    if asked.adjudicate:
        differing = agreement(database, since=asked.since).disagreements
        disputed = tuple(dict.fromkeys(d.trace_id for d in differing if who not in {s.annotator for s in d.said}))
        if not disputed:
            terminal.say(_nothing_to_decide(len(differing)))
            return None
        return ListFeed(disputed, role=role)
    waiting = unlabelled(database, asked.since)
    if not waiting:
        terminal.say(nothing_to_label(database, asked.since))
        if queues := _open_queues(database):
            terminal.say(queues)
        return None
    if asked.latest or len(waiting) == 1:
        return ListFeed(tuple(waiting))
    return _by_points(terminal, database, waiting, asked.since)


def _nothing_to_decide(differing: int) -> str:
    """Say why: nobody differs, or only with him."""
    if differing:
        are = "is" if differing == 1 else "are"
        return (
            f"Nothing to decide for you: of {count_of(differing, 'trace')} that {are} left one label is yours. Let "
            "somebody else decide, or label it anew: evalgate label TRACE"
        )
    return "Nothing to decide: reviewers agree, or nobody labelled the same traces. See: evalgate agreement"


def _by_points(terminal: Terminal, database: TenantDatabase, waiting: Sequence[str], since: datetime | None) -> Feed:
    """Return the traces with the most points first; where the packages for that are missing, as they come."""
    from evalgate.label.feed import ListFeed  # noqa: PLC0415 - as above
    from evalgate.signals.weights import QUEUE_FILE, read_weights  # noqa: PLC0415 - NumPy takes 0.2 s

    points = read_weights(QUEUE_FILE, os.environ)
    try:
        from evalgate.label.order import STATEMENTS, by_points  # noqa: PLC0415 - needs the extra packages
    except ModuleNotFoundError as e:
        terminal.note(f"the latest first, for points need {e.name}: pip install 'otel-evalgate[collector]'")
        return ListFeed(tuple(waiting))
    with terminal.progress("comparing traces", len(STATEMENTS)) as step:
        ordered, why = by_points(database, waiting, points, since, step=step)
    return ListFeed(tuple(ordered), why)


def _walk(terminal: Terminal, database: TenantDatabase, who: str, feed: Feed) -> bool:
    """Walk, and say what came of it; return whether anything changed."""
    from evalgate.label.drafts import Drafts  # noqa: PLC0415 - only the keyboard needs it
    from evalgate.label.keys import TerminalKeys  # noqa: PLC0415 - termios exists on POSIX only
    from evalgate.label.records import DatabaseRecords  # noqa: PLC0415 - as above
    from evalgate.label.state import State  # noqa: PLC0415 - as above
    from evalgate.label.walk import Walk  # noqa: PLC0415

    counts = read_counts(database, datetime.now(UTC))
    drafts = Drafts.of(who, database.tenant)
    message = " ".join(filter(None, (guidance(counts).sentences[0], _open_queues(database) if not feed.queue else "")))
    state = State(forms=drafts.read(), counts=counts, message=message, drafts=drafts)
    with TerminalKeys() as keys:
        Walk(DatabaseRecords(database, who), terminal, keys, who, feed, state).run()
    with suppress(OSError):  # a line that hung up
        _say_end(terminal, database, state)
    return bool(state.tally.labelled or state.tally.undone)


def _open_queues(database: TenantDatabase) -> str:
    """Name the open queues to somebody who did not ask for one; nothing where there is none."""
    from evalgate.queue.store import list_queues  # noqa: PLC0415 - as above

    names = [q.name for q in list_queues(database) if q.is_open]
    if not names:
        return ""
    more = f", and {len(names) - QUEUES_NAMED} more" if len(names) > QUEUES_NAMED else ""
    return f"There are queues: evalgate label --queue {' | '.join(names[:QUEUES_NAMED])}{more}."


def _say_end(terminal: Terminal, database: TenantDatabase, state: State) -> None:
    tally = state.tally
    removed = f", {tally.removed} removed" if tally.removed else ""
    lost = len(state.gone) - tally.removed
    others = f" ({lost} went to others meanwhile, or {'is' if lost == 1 else 'are'} done)" if lost > 0 else ""
    terminal.say(f"\n{tally.kept} labelled, {state.skipped} skipped{removed}, {state.to_go} to go{others}")
    if tally.labelled or tally.undone:
        for sentence in guidance(read_counts(database, datetime.now(UTC))).sentences:
            terminal.say(sentence)


def _keep_golden(terminal: Terminal, database: TenantDatabase, name: str, *, is_quiet: bool) -> None:
    """Bring the golden dataset up to date. Labels are saved already: a file that cannot be written is a remark."""
    try:
        change = write_golden(read_golden(database), golden_path(name))
    except BadInput as e:
        terminal.note(f"the golden dataset stays as it was: {e}. Later: evalgate golden export")
        return
    if not is_quiet and not change.is_same:
        terminal.say(change.words)


def _progress(terminal: Terminal, database: TenantDatabase, *, json: bool) -> None:
    found = guidance(read_counts(database, datetime.now(UTC)))
    if json:
        terminal.emit(guidance_json(found))
        return
    for sentence in found.sentences:
        terminal.say(sentence)
    steps = (found.first_pass, found.named, *found.modes, found.week)
    terminal.say()
    terminal.table(
        ("step", "done", "enough", "better"),
        [(s.name, f"{s.done}{' ✓' if s.is_done else ''}", str(s.enough), str(s.better)) for s in steps],
    )


def _undo(terminal: Terminal, database: TenantDatabase, count: int, who: str, queue: str | None, *, json: bool) -> None:
    undone = undo(database, count, who, queue=queue)
    if json:
        terminal.emit({"undone": [a.label.trace_id for a in undone]})
        return
    for a in undone:
        mode = f", {a.label.failure_mode}" if a.label.failure_mode else ""
        terminal.say(f"undone: {a.label.verdict}{mode} of trace {a.label.trace_id}")


def nothing_to_label(database: TenantDatabase, since: datetime | None) -> str:
    """Say why nothing waits, and what to do about it."""
    totals = count_traces(database, started_since(Where(), since))
    if not totals.traces:
        return "Nothing to label: there are no traces" + (" since then." if since else " yet. Start here: evalgate up")
    if totals.flagged:
        each = "the 1 flagged trace" if totals.flagged == 1 else f"each of the {totals.flagged} flagged traces"
        return f"Nothing to label: {each} has a label already. Label one anew: evalgate label TRACE"
    return (
        f"Nothing to label: no trace of {totals.traces} is flagged: none failed, and none was drawn as a sample.\n"
        "Label any trace: evalgate label TRACE (ids: evalgate traces)\n"
        "Flag every trace from now on: evalgate up --baseline-rate 1"
    )
