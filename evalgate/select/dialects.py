"""`evalgate schema fields` and `evalgate schema unmapped`: what is read of which dialect, and what is not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalgate.database import open_tenant, sql
from evalgate.options import Dsn, Json, Since, Tenant, new_app, since_time
from evalgate.select.where import LATEST_UNIX_S
from evalgate.terminal import Terminal, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evalgate.database import TenantDatabase

MAX_KEYS = 200_000
"""Distinct (scope, version, key) read at most; keys are input, and there may be millions."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = new_app("What the normaliser reads of which dialect, and what it does not.")
    group.command("fields")(fields)
    group.command("unmapped")(unmapped)
    app.add_typer(group, name="schema")


def fields(
    *,
    field: Annotated[str | None, typer.Argument(help="Only this canonical field.")] = None,
    json: Json = False,
) -> None:
    """Print the table: canonical field, and the attribute keys that it is read from, the first found wins."""
    from schema.mapping import field_rules  # noqa: PLC0415 - it needs pyarrow, which the gate must not

    terminal = Terminal()
    rules = [r for r in field_rules() if field is None or r.field == field]
    if json:
        terminal.emit([{"field": r.field, "source": r.source, "keys": list(r.keys)} for r in rules])
    elif rules:
        terminal.table(
            ("field", "source", "keys, the first found wins"),
            [
                (r.field if i == 0 else "", r.source if i == 0 else "", key)
                for r in rules
                for i, key in enumerate(r.keys)
            ],
        )
    else:
        terminal.say(f"No rule reads a field {one_line(field or '', 60)!r}; 'evalgate schema fields' lists all.")


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A GenAI-looking attribute that no rule read, per instrumentation and its version."""

    scope: str
    version: str
    key: str
    """Indices are written N."""
    spans: int
    example_trace: str


def find_unmapped(rows: Iterable[Mapping[str, Any]]) -> list[Unmapped]:
    """Return what no rule read, the most frequent first; `rows` as of attribute_keys.sql."""
    from schema.mapping import known_keys, looks_like_genai, pattern  # noqa: PLC0415 - as above

    known = known_keys()
    found: dict[tuple[str, str, str], Unmapped] = {}
    for row in rows:
        key = str(row["key"])
        if known.reads(key) or not looks_like_genai(key):
            continue
        at = (str(row["scope_name"]), str(row["scope_version"]), pattern(key))
        before = found.get(at)
        spans = max(int(row["spans"]), before.spans if before else 0)  # a.0.b and a.1.b ride on the same spans
        found[at] = Unmapped(*at, spans, str(row["example_trace"]))
    return sorted(found.values(), key=lambda u: (-u.spans, u.scope, u.key))


def read_unmapped(database: TenantDatabase, since: datetime | None) -> list[Unmapped]:
    """Read the attribute keys of the database and return those that no rule read."""
    since_s = min(max(int(since.timestamp()), 0), LATEST_UNIX_S) if since else 0
    parameters = {"since_s": since_s, "limit": MAX_KEYS}
    return find_unmapped(database.rows(sql("evalgate.select", "attribute_keys"), parameters))


def unmapped(*, since: Since = None, tenant: Tenant = None, dsn: Dsn = None, json: Json = False) -> None:
    """List GenAI-looking attributes that no rule read, per instrumentation: a new dialect shows here first."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        found = read_unmapped(database, since_time(since, datetime.now(UTC)))
    if json:
        terminal.emit([asdict(u) for u in found])
    elif not found:
        terminal.say("Every GenAI-looking attribute was read by some rule.")
    else:
        terminal.table(
            ("instrumentation", "version", "attribute", "spans", "for example"),
            [
                (
                    one_line(u.scope, 48),
                    one_line(u.version, 16),
                    one_line(u.key, 64),
                    str(u.spans),
                    u.example_trace[:16],
                )
                for u in found
            ],
        )
        terminal.say("next: docs/dialects.md says how to map one; they are stored in span_attributes meanwhile")
