"""The commands `keys create|list|revoke` on a key file; a collector that runs sees what changed."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from schema.errors import ConfigError
from schema.identity import DEFAULT_TENANT, Scope, check_tenant

if TYPE_CHECKING:
    from collector.auth.key import Key

DEFAULT_DATA_DIR: Final = Path(".evalgate/data")
"""As in collector.config, which takes a second to import."""
SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
LASTS: Final = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
MAX_NAME_CHARS: Final = 200

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="EVALGATE_DATA_DIR", help="The collector's data directory; keys.json lies there."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]


def keys_app() -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(help="API keys: who may send, and who may read.", no_args_is_help=True)
    app.command("create")(create)
    app.command("list")(list_)
    app.command("revoke")(revoke)
    return app


def create(
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose rows it is for.")] = DEFAULT_TENANT,
    scope: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="ingest, read, review or admin; repeat it for more.  [default: ingest]"),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What you call it, for example the app that has it.")] = "",
    expires: Annotated[str | None, typer.Option("--expires", metavar="90d", help="How long it is valid.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept."""
    from collector.auth.key import new_key  # noqa: PLC0415 - --help needs none of it

    try:
        check_tenant(tenant)
    except ValueError as e:
        raise ConfigError(str(e)) from None
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise ConfigError(f"--name has at most {MAX_NAME_CHARS} printable characters")
    now = int(time.time())
    ends = None if expires is None else now + _seconds(expires)
    text, key = new_key(
        tenant=tenant,
        scopes=frozenset(scope or [Scope.INGEST]),
        name=name,
        now_unix_s=now,
        expires_unix_s=ends,
    )
    _file(data_dir).add(key)
    if as_json:
        _emit({"key": text, **_document(key)})
        return
    typer.echo(text)
    typer.echo(
        f"key {key.key_id} of tenant {key.tenant}, {', '.join(sorted(key.scopes))}, "
        f"{'never expires' if ends is None else f'until {_date(ends)}'}. It is not shown again.",
        err=True,
    )
    if Scope.INGEST in key.scopes:
        typer.echo(f"for an app:  export OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{text}", err=True)


def list_(*, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """List the keys: whose they are, what for, until when. Never the keys themselves."""
    keys = sorted(_file(data_dir).read().values(), key=lambda k: (k.tenant, k.created_unix_s, k.key_id))
    if as_json:
        _emit([_document(k) for k in keys])
        return
    if not keys:
        typer.echo("No keys. Make one: evalgate-collector keys create --tenant NAME --scope ingest")
        return
    typer.echo(f"{'ID':<13} {'TENANT':<16} {'SCOPES':<18} {'CREATED':<11} {'STATE':<22} NAME")
    for k in keys:
        scopes = ",".join(sorted(k.scopes))
        dates = f"{_date(k.created_unix_s):<11} {_state(k):<22}"
        typer.echo(f"{k.key_id:<13} {k.tenant:<16} {scopes:<18} {dates} {k.name}".rstrip())


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The 12 characters after eg_; see: keys list")],
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Revoke a key for good. A collector that runs refuses it within seconds."""
    from collector.auth.key import TOKEN  # noqa: PLC0415 - as above

    if match := TOKEN.fullmatch(key_id):
        key_id = match[1]  # a whole key was pasted
    key = _file(data_dir).revoke(key_id, now_unix_s=int(time.time()))
    if as_json:
        _emit(_document(key))
    else:
        typer.echo(f"key {key.key_id} of tenant {key.tenant} is revoked")


def _file(data_dir: Path) -> Any:
    from collector.auth.key_file import NAME, KeyFile  # noqa: PLC0415 - as above

    return KeyFile(data_dir.absolute() / NAME)


def _seconds(text: str) -> int:
    match = LASTS.fullmatch(text)
    if match is None or not int(match[1]):
        raise ConfigError(f"--expires {text[:20]!r} is no length of time: 12h, 90d, 52w")
    return int(match[1]) * SECONDS[match[2]]


def _state(key: Key) -> str:
    if key.revoked_unix_s is not None:
        return f"revoked {_date(key.revoked_unix_s)}"
    if key.expires_unix_s is None:
        return "valid"
    word = "until" if key.is_valid(time.time()) else "expired"
    return f"{word} {_date(key.expires_unix_s)}"


def _document(key: Key) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "name": key.name,
        "created_at": _moment(key.created_unix_s),
        "expires_at": _moment(key.expires_unix_s),
        "revoked_at": _moment(key.revoked_unix_s),
        "valid": key.is_valid(time.time()),
    }


def _moment(unix_s: int | None) -> str | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC).isoformat()


def _date(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).date().isoformat()


def _emit(document: Any) -> None:
    import orjson  # noqa: PLC0415 - as above

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
