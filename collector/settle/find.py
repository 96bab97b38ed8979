"""Which traces have to be read as a whole, and how far that is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collector.settle.queries import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from collector.settle.settler import Limits
    from exporters.clickhouse.connect import Database

OVERLAP_MS: Final = 60_000
"""How far a pass looks back before what is done: an INSERT is stamped when it begins and seen when it ends."""
LOOK_BACK_MS: Final = 24 * 3600 * 1000
"""How far a pass looks back from now after the clock was set back; nobody knows when that was."""
MAX_TWINS: Final = 8
"""Traces with one response id; more, and it is a constant that some model server sends."""
SUMS: Final = ("error_count", "llm_calls", "input_tokens", "output_tokens", "cost_usd")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a pass begins and ends, by the database's clock.

    That clock may be set back. Then what is done lies in the future: a pass looks back a day from now instead, and
    versions go on from what is done, so that what is read now holds against what was read by the wrong clock.
    """

    now_unix_ns: int
    done_ms: int
    quiet_ms: int

    @property
    def until_ms(self) -> int:
        """Up to when touched traces are quiet."""
        return self.now_unix_ns // 1_000_000 - self.quiet_ms

    @property
    def was_set_back(self) -> bool:
        """Whether more is done than can be."""
        return self.done_ms > self.until_ms

    @property
    def version_unix_ns(self) -> int:
        """The time before anything was read: what this pass writes is from no older reading."""
        return (self.done_ms + self.quiet_ms + 1) * 1_000_000 if self.was_set_back else self.now_unix_ns

    @property
    def since_ms(self) -> int:
        """From when on touched traces are looked at."""
        if self.was_set_back:
            return max(self.now_unix_ns // 1_000_000 - LOOK_BACK_MS, 0)
        return max(self.done_ms - OVERLAP_MS, 0)

    @property
    def ahead_ms(self) -> int:
        """After when nothing can have been touched, unless the clock was set back since."""
        return self.now_unix_ns // 1_000_000 + OVERLAP_MS

    @classmethod
    def read(cls, db: Database, *, quiet_s: float) -> Progress:
        """Ask the database."""
        [row] = db.rows(statement("progress"))
        return cls(row["now_unix_ns"], row["done_ms"], round(quiet_s * 1000))

    def write(self, db: Database, *, until_ms: int) -> None:
        """Remember that every trace touched before is settled."""
        done_ms = self.done_ms + 1 if self.was_set_back else until_ms
        if done_ms > self.done_ms:
            db.command(
                "INSERT INTO settlement_progress SELECT 'settle', fromUnixTimestamp64Milli({done_ms:Int64}, 'UTC')",
                {"done_ms": done_ms},
            )


@dataclass(frozen=True, slots=True)
class Found:
    """A trace that has to be settled, and what is stored of it."""

    tenant: str
    trace: str
    """Hex."""
    rows: int
    bytes: int
    logs: int
    touched_ms: int
    received_hour_s: int
    defects: tuple[str, ...]
    sums: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """What a pass has to do."""

    traces: tuple[Found, ...]
    """The longest waiting first."""
    twins: tuple[tuple[str, tuple[str, ...]], ...]
    """(tenant, traces that name one response)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Traces of one tenant that are read together."""

    tenant: str
    found: tuple[Found, ...]
    partners: tuple[str, ...] = ()
    """Further traces that may record calls of these; settled themselves, or not yet quiet."""

    @property
    def traces(self) -> list[str]:
        """All ids, hex."""
        return [*(f.trace for f in self.found), *self.partners]

    def alone(self) -> Iterator[Group]:
        """Yield each trace by itself."""
        for f in self.found:
            yield Group(self.tenant, (f,))


def find(db: Database, progress: Progress, limits: Limits) -> Work:
    """Return the traces that are quiet and have more rows than were last settled."""
    [touched] = db.rows(statement("touched"), {"since_ms": progress.since_ms})
    if not touched["traces"]:
        return Work((), ())
    since = {"since_ms": progress.since_ms}
    received_ms = max(round((touched["received_hour_s"] - limits.twin_window_s) * 1000), 0)
    twins = [
        (row["tenant"], tuple(row["traces"]))
        for row in db.rows(statement("twins"), {**since, "received_since_ms": received_ms, "most": MAX_TWINS})
    ]
    rows = db.rows(
        statement("find"),
        {
            **since,
            "until_ms": progress.until_ms,
            "ahead_ms": progress.ahead_ms,
            "limit": limits.max_traces_per_pass,
            "twins": [f"{tenant}/{trace}" for tenant, traces in twins for trace in traces],
        },
    )
    return Work(tuple(_found(r) for r in rows), tuple(twins))


def _found(row: Mapping[str, Any]) -> Found:
    return Found(
        tenant=row["tenant"],
        trace=row["trace"],
        rows=row["rows"],
        bytes=row["bytes"],
        logs=row["logs"],
        touched_ms=row["touched_ms"],
        received_hour_s=row["received_hour_s"],
        defects=tuple(row["defects"]),
        sums={name: row[name] for name in SUMS},
    )


def groups(work: Work, limits: Limits, *, without: Collection[Found]) -> Iterator[Group]:
    """Yield the traces in portions that may be read at once; traces that name one response stay together."""
    skipped = {(f.tenant, f.trace) for f in without}
    todo = {(f.tenant, f.trace): f for f in work.traces if (f.tenant, f.trace) not in skipped}
    portions: dict[str, list[tuple[list[Found], list[str]]]] = {}
    for tenant, family in _families(todo, work.twins):
        members = [todo[tenant, t] for t in family if (tenant, t) in todo]
        partners = [t for t in family if (tenant, t) not in todo and (tenant, t) not in skipped]
        filling = portions.setdefault(tenant, [([], [])])
        if _full([*filling[-1][0], *members], limits):
            filling.append(([], []))
        filling[-1][0].extend(members)
        filling[-1][1].extend(partners)
    for tenant, of_tenant in portions.items():
        yield from (Group(tenant, tuple(found), tuple(partners)) for found, partners in of_tenant if found)


def _full(found: Sequence[Found], limits: Limits) -> bool:
    too_many = sum(f.rows for f in found) > limits.max_spans_per_read
    return len(found) > 1 and (too_many or sum(f.bytes for f in found) > limits.max_bytes_per_read)


def _families(
    todo: Collection[tuple[str, str]], twins: Sequence[tuple[str, tuple[str, ...]]]
) -> Iterator[tuple[str, list[str]]]:
    """Yield (tenant, traces that are linked by response ids, over one another too), each trace once."""
    linked: dict[tuple[str, str], set[str]] = {}
    for tenant, traces in twins:
        for trace in traces:
            linked.setdefault((tenant, trace), set()).update(traces)
    seen: set[tuple[str, str]] = set()
    for tenant, trace in todo:
        if (tenant, trace) in seen:
            continue
        family, open_ends = [], [trace]
        while open_ends:
            one = open_ends.pop()
            if (tenant, one) in seen:
                continue
            seen.add((tenant, one))
            family.append(one)
            open_ends += sorted(linked.get((tenant, one), ()))
        yield tenant, family
