"""`evalgate flag`: let a model read some of the traces that nothing else has decided about."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from evalgate.database import open_tenant
from evalgate.errors import BadInput
from evalgate.model.options import ModelOptions, open_from_options, with_model_options
from evalgate.options import Dsn, Json, Since, Tenant, since_time
from evalgate.select.nothing import nothing_yet
from evalgate.select.recent import CLOCK_AHEAD
from evalgate.select.where import parse_where
from evalgate.terminal import Terminal, count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.database import TenantDatabase
    from evalgate.flag.ask import Asked, Asker
    from evalgate.flag.choose import Choice, Chosen
    from evalgate.model.options import Models
    from evalgate.select.where import Where

DEFAULT_RATE: Final = 0.1
DEFAULT_LIMIT: Final = 200
"""Traces of one run, unless more are asked for: nobody means to pay for ten thousand calls."""
SHOWN_REASON_CHARS: Final = 120
SHOWN_ERRORS: Final = 3
ANSWER_TOKENS: Final = 80
"""Of one verdict, for estimates."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("flag")(flag)


@with_model_options
def flag(
    *,
    models: ModelOptions,
    rate: Annotated[
        float, typer.Option("--rate", min=0, max=1, help="Share of the traces that signals find nothing in.")
    ] = DEFAULT_RATE,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The model that reads.  [default: --judge-model]")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="CONDITION", help="Such as 'feature = refunds'; repeat it for more."),
    ] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Traces to ask about at most.")] = DEFAULT_LIMIT,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls at once.")] = 4,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be asked, and ask nobody.")] = False,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Let a model read a share of the traces that signals find nothing in, and those they are not sure of."""
    from evalgate.flag.ask import Asker  # noqa: PLC0415 - NumPy takes 0.1 s
    from evalgate.flag.prompt import version_of  # noqa: PLC0415

    terminal = Terminal()
    opened = open_from_options(models)
    name = model or opened.settings.model
    if not name:
        raise BadInput("no model is named. Name one with --model, --judge-model or EVALGATE_JUDGE_MODEL")
    conditions = parse_where(where or ())
    start = since_time(since, datetime.now(UTC))
    if start is not None:
        conditions = conditions.and_("start_time", ">=", start.isoformat())
    version = version_of(name)
    with open_tenant(dsn, tenant, writes=not dry_run) as database:
        chosen = _choose(terminal, database, conditions=conditions, start=start, rate=rate, version=version)
        now = chosen.choices[:limit]
        if dry_run:
            _tell_plan(terminal, chosen, _plan(database, opened, name, now), rate, version, json=json)
            return
        done = _ask(terminal, database, Asker(opened.chat(name), version, rate), opened, now, concurrency=concurrency)
    if json:
        terminal.emit(_to_json(chosen, done, rate, version, name))
    else:
        _tell(terminal, chosen, done, len(now), rate)
    if opened.were_asked:
        terminal.note(f"asked models: {opened.told()}")
    _tell_errors(terminal, done)
    if now and not done.flags and done.stopped is not None:
        raise BadInput(f"no trace could be asked about: {done.stopped.message}")


def _choose(
    terminal: Terminal,
    database: TenantDatabase,
    *,
    conditions: Where,
    start: datetime | None,
    rate: float,
    version: str,
) -> Chosen:
    from evalgate.flag.choose import choose  # noqa: PLC0415 - as above
    from evalgate.flag.store import asked, labelled  # noqa: PLC0415
    from evalgate.signals.measure import signals  # noqa: PLC0415
    from evalgate.signals.population import STATEMENTS  # noqa: PLC0415

    with terminal.progress("comparing traces", len(STATEMENTS)) as step:
        found = signals(database, conditions, start and start - CLOCK_AHEAD, step=step)
    return choose(found, rate, labelled=labelled(database), known=asked(database, version))


def _ask(
    terminal: Terminal,
    database: TenantDatabase,
    asker: Asker,
    opened: Models,
    choices: Sequence[Choice],
    *,
    concurrency: int,
) -> Asked:
    """Ask about the first alone, with few attempts: it tells at once whether anybody answers."""
    from dataclasses import replace  # noqa: PLC0415 - as above

    from evalgate.flag.ask import Asked, ask_about  # noqa: PLC0415

    if not choices:
        return Asked()
    with terminal.progress("asking", len(choices)) as step:
        first = replace(asker, model=opened.impatient().chat(asker.model.name))
        done = ask_about(database, first, choices[:1], concurrency=1, step=step)
        if done.stopped is None:
            rest = ask_about(database, asker, choices[1:], concurrency=concurrency, step=step)
            done.flags += rest.flags
            done.nothing_to_read += rest.nothing_to_read
            done.errors += rest.errors
            done.stopped = rest.stopped
    return done


def _plan(database: TenantDatabase, opened: Models, name: str, choices: Sequence[Choice]) -> dict[str, Any]:
    """Return how many would be asked about, and what that may cost; nothing is sent."""
    from evalgate.flag.ask import AT_A_TIME  # noqa: PLC0415 - as above
    from evalgate.flag.prompt import flag_prompt  # noqa: PLC0415
    from evalgate.model.price import BYTES_PER_TOKEN, Prices  # noqa: PLC0415
    from evalgate.select.traces import load_traces  # noqa: PLC0415

    tokens = readable = 0
    for i in range(0, len(choices), AT_A_TIME):
        for trace in load_traces(database, [c.trace_id for c in choices[i : i + AT_A_TIME]]).values():
            if (prompt := flag_prompt(trace)) is not None:
                readable += 1
                tokens += sum(len(m["content"].encode("utf-8", "replace")) for m in prompt.messages) // BYTES_PER_TOKEN
    nobody = (lambda _model, _url: None) if opened.settings.is_loopback else None
    price = Prices(opened.settings.base_url, opened.settings.prices, look_up=nobody).of(name) if readable else None
    usd = price.cost_usd(tokens, readable * ANSWER_TOKENS) if price else None
    return {"would_ask": readable, "input_tokens": tokens, "cost_usd": usd}


def _tell_plan(
    terminal: Terminal, chosen: Chosen, plan: dict[str, Any], rate: float, version: str, *, json: bool
) -> None:
    if json:
        terminal.emit({**_counts(chosen), "rate": rate, "version": version, "dry_run": True, **plan})
        return
    terminal.say(_words(chosen, rate))
    cost = "at an unknown price" if plan["cost_usd"] is None else f"about ${plan['cost_usd']:.4f}"
    terminal.say(
        f"would ask about {count_of(plan['would_ask'], 'trace')}: about {plan['input_tokens']} tokens in, {cost}"
        if plan["would_ask"]
        else "nothing to ask about"
    )
    terminal.note("evalgate: --dry-run: nobody was asked")


def _tell(terminal: Terminal, chosen: Chosen, done: Asked, tried: int, rate: float) -> None:
    if not chosen.asked_for:
        terminal.say(nothing_yet())
        return
    if done.found:
        cells = [
            (f.trace_id[:16], f.category, f"{f.confidence:.2f}", f.chosen, one_line(f.reason, SHOWN_REASON_CHARS))
            for f in done.found
        ]
        terminal.table(("trace", "category", "confidence", "asked as", "reason"), cells)
    terminal.say(_words(chosen, rate))
    unread = sum(f.category == "unreadable" for f in done.flags)
    parts = [f"{len(done.found)} of {count_of(len(done.flags), 'answer')} see something"]
    parts += [f"{unread} no verdict"] if unread else []
    parts += [f"{done.nothing_to_read} without recorded text"] if done.nothing_to_read else []
    left = len(chosen.choices) - tried
    parts += [f"{left} left for another time (--limit)"] if left else []
    terminal.say("; ".join(parts))
    if done.found:
        terminal.say("next: evalgate signals, evalgate label. A flag is a hint: only people make labels")


def _words(chosen: Chosen, rate: float) -> str:
    parts = [
        f"{chosen.ambiguous} ambiguous, asked about",
        f"{chosen.passed} without a sign, {rate:g} of them asked about",
        f"{chosen.decided} decided by signals",
    ]
    parts += [f"{chosen.labelled} labelled"] if chosen.labelled else []
    parts += [f"{chosen.known} asked about before"] if chosen.known else []
    return f"{count_of(chosen.asked_for, 'trace')}: {'; '.join(parts)}"


def _tell_errors(terminal: Terminal, done: Asked) -> None:
    for message, number in done.errors.most_common(SHOWN_ERRORS):
        terminal.note(f"evalgate: {count_of(number, 'trace')} without an answer: {message}")
    if len(done.errors) > SHOWN_ERRORS:
        terminal.note(f"evalgate: and {len(done.errors) - SHOWN_ERRORS} other reasons")
    if done.errors and done.flags:
        terminal.note("evalgate: what was answered is kept; run it again to ask about the rest")


def _counts(chosen: Chosen) -> dict[str, int]:
    names = ("asked_for", "labelled", "decided", "ambiguous", "passed", "known")
    return {name: getattr(chosen, name) for name in names} | {"chosen": len(chosen.choices)}


def _to_json(chosen: Chosen, done: Asked, rate: float, version: str, model: str) -> dict[str, Any]:
    return {
        **_counts(chosen),
        "rate": rate,
        "version": version,
        "model": model,
        "answered": len(done.flags),
        "nothing_to_read": done.nothing_to_read,
        "without_answer": sum(done.errors.values()),
        "errors": dict(done.errors),
        "stopped": done.stopped and done.stopped.message,
        "flags": [asdict(f) for f in done.found],
    }
