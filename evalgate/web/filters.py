"""How values read on a page. Every filter returns plain text, which the template escapes.

`clean` goes over every text that a template puts out, whether or not it asks (`finalize`): control and bidirectional
characters of spans, cases and people appear as their codes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from evalgate.figures import percent
from evalgate.terminal import clean, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING: Final = "–"
THIN: Final = "\N{NARROW NO-BREAK SPACE}"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def moment_of(value: datetime | int | None) -> datetime | None:
    """Return a time in UTC; a number is nanoseconds since 1970."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    return EPOCH + timedelta(microseconds=value // 1000)


def day(value: datetime | int | None) -> str:
    """Return 2026-11-21; a number is nanoseconds since 1970."""
    at = moment_of(value)
    return NOTHING if at is None else f"{at:%Y-%m-%d}"


def moment(value: datetime | int | None) -> str:
    """Return 2026-11-21 17:03:09, in UTC; a number is nanoseconds since 1970."""
    at = moment_of(value)
    return NOTHING if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def iso(value: datetime | int | None) -> str:
    """Return what stands in the attribute `datetime` of a <time>."""
    at = moment_of(value)
    return "" if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago_at(now: datetime, value: datetime | int | None) -> str:
    """Return "now", "3 min ago", "2 h ago", "5 days ago", or the day where it is longer ago or ahead."""
    at = moment_of(value)
    if at is None:
        return NOTHING
    passed_s = (now - at).total_seconds()
    if passed_s < -MINUTE_S or passed_s >= 60 * DAY_S:
        return f"{at:%Y-%m-%d}"
    if passed_s < 5:
        return "now"
    if passed_s < MINUTE_S:
        return f"{passed_s:.0f} s ago"
    if passed_s < HOUR_S:
        return f"{passed_s // MINUTE_S:.0f} min ago"
    if passed_s < 2 * DAY_S:
        return f"{passed_s // HOUR_S:.0f} h ago"
    return f"{passed_s // DAY_S:.0f} days ago"


def number(value: float | None, digits: int = 0) -> str:
    """Return 12 345, or with digits after the point."""
    return NOTHING if value is None else f"{value:,.{digits}f}".replace(",", THIN)


def money(usd: float | None) -> str:
    """Return $12.30, $0.0042; four significant digits below a cent."""
    if usd is None:
        return NOTHING
    if usd == 0:
        return "$0"
    if abs(usd) >= 0.01:
        return f"${number(usd, 2)}"
    return f"${usd:.4f}" if abs(usd) >= 0.0001 else "<$0.0001"


def duration(ms: float | None) -> str:
    """Return 820 ms, 1.2 s, 3 min 20 s, 2 h 5 min."""
    if ms is None:
        return NOTHING
    if ms < 999.5:
        return f"{ms:.0f} ms" if ms >= 10 or ms == 0 else f"{ms:.1f} ms"
    seconds = ms / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{number(whole // HOUR_S)} h {whole % HOUR_S // MINUTE_S} min"


def byte_count(value: float | None) -> str:
    """Return 812 B, 1.5 kB, 20 MB: powers of 1000."""
    if value is None:
        return NOTHING
    size, unit = float(value), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit and size < 9.95 else f"{size:.0f} {UNITS[unit]}"


def shown(value: Any) -> Any:
    """Return what a template puts out for a value: clean text, nothing for None; markup of our own stays as it is."""
    if value is None:
        return ""
    return clean(value) if type(value) is str else value


def filters(clock: Callable[[], datetime]) -> dict[str, Callable[..., str]]:
    """Return all of them by the name that templates use."""

    def ago(value: datetime | int | None) -> str:
        return ago_at(clock(), value)

    return {
        "clean": lambda value: clean(str(value)),
        "one_line": lambda value, limit=None: one_line(str(value), limit),
        "day": day,
        "moment": moment,
        "iso": iso,
        "ago": ago,
        "money": money,
        "number": number,
        "percent": percent,
        "duration": duration,
        "bytes": byte_count,
    }
