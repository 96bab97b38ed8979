"""`evalgate top`: what a running collector does, live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.options import Json  # noqa: TC001 - typer reads it
from evalgate.terminal import Terminal
from evalgate.top.screen import HEADER, LINE, document, lines, picture, rows, short
from evalgate.top.status import NoAnswer, fetch, find_url
from evalgate.top.view import View, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evalgate.top.status import Status

INTERVAL_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("top")(top)


def top(
    *,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the collector's health_check, on any machine.")
    ] = None,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="DIR", help="Folder of a collector that runs on this machine.")
    ] = Path(".evalgate/data"),
    once: Annotated[bool, typer.Option("--once", help="Look for one second, print, and end.")] = False,
    json: Json = False,
) -> None:
    """Show what a running collector does: spans a second, lag, queue, refused, per tenant."""
    terminal = Terminal()
    views = watch(find_url(url, data_dir.absolute()))
    try:
        if once:
            _print_once(terminal, views, as_json=json)
        elif json:
            for seen, trouble in views:
                terminal.emit(document(seen) | {"trouble": trouble})
                terminal.out.flush()
        elif terminal.is_rich:
            _live(terminal, views)
        else:
            _list(terminal, views)
    except KeyboardInterrupt:
        return


def watch(
    url: str,
    ask: Callable[[str], Status] = fetch,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[View, str]]:
    """Yield a view each second, for ever, and why it is an old one where it is; the first has no rates.

    Raises:
        NoAnswer: to the first question. Later the last view goes on, with the reason.

    """
    status, before = ask(url), None
    answered_s = monotonic()
    trouble = ""
    while True:
        yield view(url, status, before), trouble
        sleep(INTERVAL_S)
        try:
            found = ask(url)
        except NoAnswer:
            trouble = f"no answer for {monotonic() - answered_s:.0f} s; these are the last figures. Still trying …"
            continue
        status, before = found, status
        answered_s, trouble = monotonic(), ""


def _print_once(terminal: Terminal, views: Iterator[tuple[View, str]], *, as_json: bool) -> None:
    next(views)
    seen, trouble = next(views)
    if trouble:
        raise NoAnswer(f"{seen.url} answered once, and not a second later; look again")
    if as_json:
        terminal.emit(document(seen))
        return
    for label, text, style in lines(seen):
        terminal.say(f"{label:<11} {text}".strip(), style=style)
    if seen.tenants:
        terminal.say()
        terminal.table(HEADER, rows(seen))


def _list(terminal: Terminal, views: Iterator[tuple[View, str]]) -> None:
    """Print a line each second: for a pipe, a file, a terminal that cannot be painted."""
    widths = [max(len(name), 10) for name in LINE]
    terminal.say("  ".join(name.rjust(w) for name, w in zip(LINE, widths, strict=True)))
    for seen, trouble in views:
        terminal.say(trouble or "  ".join(c.rjust(w) for c, w in zip(short(seen), widths, strict=True)))
        terminal.out.flush()


def _live(terminal: Terminal, views: Iterator[tuple[View, str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - rich costs 0.1 s and is needed on terminals only
    from rich.live import Live  # noqa: PLC0415 - as above

    console = Console(file=terminal.out, highlight=False)
    seen, trouble = next(views)
    with Live(picture(seen, trouble), console=console, screen=True, auto_refresh=False) as live:
        for seen, trouble in views:
            live.update(picture(seen, trouble), refresh=True)
