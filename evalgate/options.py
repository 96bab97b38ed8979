"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]
Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="EVALGATE_DSN",
        metavar="DSN",
        help="The database: chdb:///PATH or http(s)://user:pass@host:port/database.  [default: .evalgate/data/db here]",
        show_default=False,
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        envvar="EVALGATE_TENANT",
        metavar="NAME",
        help="Whose rows.  [default: the only tenant there is]",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only from then on: 30m, 24h, 7d, 2w, or a date such as 2026-11-20."),
]

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def new_app(help_text: str, **settings: Any) -> typer.Typer:
    """Return an app with the conventions of this command line."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def with_options(group: type, name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that are the fields of a dataclass in place of its keyword parameter `name`."""
    options = get_type_hints(group, include_extras=True)
    defaults = {f.name: f.default for f in inspect.signature(group).parameters.values()}
    own = get_type_hints(command, include_extras=True)
    own.pop(name)

    @functools.wraps(command)
    def called(**given: Any) -> None:
        said = {each: given.pop(each) for each in options}
        command(**given, **{name: group(**said)})

    parameters = [p for p in inspect.signature(command, eval_str=False).parameters.values() if p.name != name]
    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature(
        [p.replace(kind=kind, annotation=own[p.name]) for p in parameters]
        + [inspect.Parameter(n, kind, default=defaults[n], annotation=hint) for n, hint in options.items()]
    )
    called.__annotations__ = own | options
    called.__signature__ = signature  # type: ignore[attr-defined]  # inspect.signature reads it
    return called


def since_time(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that `--since` names; a date without a zone is UTC.

    Raises:
        BadInput: it names none.

    """
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if unit in UNITS and number.isascii() and number.isdigit():
        try:
            return now - timedelta(**{UNITS[unit]: int(number)})
        except OverflowError:
            raise BadInput(f"--since {text!r} is too long ago") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--since {text!r} is not a time; write 30m, 24h, 7d, 2w or a date such as 2026-11-20") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
