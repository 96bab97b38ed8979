"""Pictures of figures, as SVG: altair draws, vl-convert writes without a browser (the extra `pictures`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.tools.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IMAGES: Final = ROOT / "docs" / "images"
OURS, LIMIT = "#2f6fab", "#c9862b"
LEAST_COVERAGE: Final = 0.6


def bars(rows: Sequence[dict[str, Any]], path: Path, *, title: str) -> Path:
    """Draw stages as bars, a limit as a mark on each: rows of kind, stage, us, limit_us. Return the file."""
    import altair as alt  # noqa: PLC0415 - the extra is needed for pictures alone

    order = list(dict.fromkeys(row["stage"] for row in rows))
    base = alt.Chart({"values": list(rows)}).encode(y=alt.Y("stage:N", sort=order, title=None))
    bar = base.mark_bar(color=OURS).encode(x=alt.X("us:Q", title="CPU µs a span"))
    mark = base.mark_tick(color=LIMIT, thickness=3, size=14).encode(x="limit_us:Q")
    text = base.mark_text(align="left", dx=4, color="#444444").encode(x="us:Q", text=alt.Text("us:Q", format=".2f"))
    chart = (
        alt.layer(bar, mark, text)
        .properties(width=300, height=alt.Step(20))
        .facet(column=alt.Column("kind:N", title=None, sort=list(dict.fromkeys(r["kind"] for r in rows))))
        .resolve_scale(x="independent")
        .properties(title=alt.Title(title, subtitle="bar: ours; mark: the limit of this machine for the same bytes"))
    )
    return _save(chart, path)


def curves(rows: Sequence[dict[str, Any]], path: Path, *, title: str) -> Path:
    """Draw a small chart for each curve: rows of curve, at, us. Return the file."""
    import altair as alt  # noqa: PLC0415 - as above

    base = alt.Chart({"values": list(rows)}).mark_line(point=True, color=OURS)
    chart = (
        base.encode(
            x=alt.X("at:Q", scale=alt.Scale(type="log"), title=None),
            y=alt.Y("relative:Q", title="cost, first = 1", scale=alt.Scale(zero=True)),
        )
        .properties(width=240, height=160)
        .facet(facet=alt.Facet("curve:N", title=None, sort=list(dict.fromkeys(r["curve"] for r in rows))), columns=2)
        .resolve_scale(x="independent")
        .properties(title=title)
    )
    return _save(chart, path)


def shares(rows: Sequence[dict[str, Any]], path: Path, *, title: str) -> Path:
    """Draw parts of a whole as bars, a panel for each way: rows of way, mode, share, text. Return the file."""
    import altair as alt  # noqa: PLC0415 - as above

    order = list(dict.fromkeys(row["mode"] for row in rows))
    base = alt.Chart({"values": list(rows)}).encode(y=alt.Y("mode:N", sort=order, title=None))
    bar = base.mark_bar(color=LIMIT).encode(
        x=alt.X("share:Q", title="part that is missed", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    )
    text = base.mark_text(align="left", dx=4, color="#444444").encode(x="share:Q", text="text:N")
    chart = (
        alt.layer(bar, text)
        .properties(width=170, height=alt.Step(20))
        .facet(column=alt.Column("way:N", title=None, sort=list(dict.fromkeys(r["way"] for r in rows))))
        .properties(title=title)
    )
    return _save(chart, path)


def spread(rows: Sequence[dict[str, Any]], path: Path, *, title: str, band: tuple[float, float]) -> Path:
    """Draw ticks on a line for each policy, a panel for each way: rows of way, policy, coverage. Return the file."""
    import altair as alt  # noqa: PLC0415 - as above

    order, ways = (list(dict.fromkeys(row[name] for row in rows)) for name in ("policy", "way"))
    places = dict.fromkeys((row["way"], row["policy"], round(row["coverage"], 3)) for row in rows)
    values = [{"way": w, "policy": p, "coverage": c, "low": band[0], "high": band[1]} for w, p, c in places]
    base = alt.Chart({"values": values})
    scale = alt.Scale(domain=[LEAST_COVERAGE, 1], clamp=True)
    within = (
        base.transform_aggregate(low="min(low)", high="max(high)", groupby=["way"])
        .mark_rect(color=LIMIT, opacity=0.3)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    )
    ticks = base.mark_tick(color=OURS, thickness=1.5, size=14, opacity=0.6).encode(
        x=alt.X("coverage:Q", title=f"hold the truth (at the edge: {LEAST_COVERAGE:.0%} or less)", scale=scale).axis(
            format="%"
        ),
        y=alt.Y("policy:N", sort=order, title=None),
    )
    chart = (
        alt.layer(within, ticks)
        .properties(width=190, height=alt.Step(22))
        .facet(column=alt.Column("way:N", title=None, sort=ways))
        .properties(title=title)
    )
    return _save(chart, path)


def _save(chart: Any, path: Path) -> Path:
    import vl_convert as vlc  # noqa: PLC0415 - as above

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(vlc.vegalite_to_svg(chart.to_json()) + "\n")
    return path
