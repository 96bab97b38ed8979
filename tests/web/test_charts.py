"""Charts are well-formed SVG whose numbers are also a table, and let no content act."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from evalgate.web.charts import Bar, Line, Point, Segment, histogram, lines, segments, sparkline, stacked
from evalgate.web.drawing import HEIGHT, TOP, nice_top

if TYPE_CHECKING:
    from evalgate.web.charts import Chart

HOSTILE = "</title><script>alert(1)</script>\"' onload=x \u202egnp"


def whole(value: float) -> str:
    return f"{value:g}"


def drawn(chart: Chart) -> ET.Element:
    """Return the drawing, parsed as XML."""
    return ET.fromstring(str(chart.svg))  # noqa: S314 - it is ours, and must be well-formed


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if name in e.get("class", "").split()]


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 4), (9.5, 10), (101, 200), (0.013, 0.02), (float("nan"), 1), (5e7, 6e7)]
)
def test_an_axis_ends_at_a_round_number(most: float, top: float) -> None:
    assert nice_top(most) == pytest.approx(top)


def test_what_is_above_the_band_is_marked_and_the_table_says_so() -> None:
    bars = [Bar("1 Nov", 2, 1, 4), Bar("2 Nov", 9, 1, 4, is_above=True), Bar("3 Nov", 0)]
    chart = histogram("h", "Seen", bars, whole, "traces")
    root = drawn(chart)
    assert len(of_class(root, "above")) == 1
    assert [e.text for e in of_class(root, "mark")] == ["▲"]
    assert len(of_class(root, "band")) == 2, "a day without history has no band"
    assert chart.rows[1] == ("2 Nov", "9", "1 to 4", "above")
    assert chart.rows[2][2] == "–"


def test_a_bar_is_as_tall_as_its_value_and_bars_do_not_overlap() -> None:
    chart = histogram("h", "Seen", [Bar(str(n), n) for n in range(11)], whole, "traces")
    bars = of_class(drawn(chart), "bar")
    heights = [float(e.get("height", "")) for e in bars]
    assert heights[9] == pytest.approx(2 * heights[4], rel=0.01)
    ends = [float(e.get("x", "")[:-1]) + float(e.get("width", "")[:-1]) for e in bars]
    begins = [float(e.get("x", "")[:-1]) for e in bars]
    assert all(end < begin for end, begin in zip(ends, begins[1:], strict=False))
    assert ends[-1] <= 100


def test_a_line_breaks_where_nothing_is_known_and_keeps_the_interval() -> None:
    points = (Point("a", 0.1, 0.05, 0.2), Point("b", None, 0.0, 0.9), Point("c", 0.1, 0.05, 0.2), Point("d", 0.2))
    chart = lines("l", "Rate", [Line("rate", points)], whole, whole=1)
    root = drawn(chart)
    assert len(of_class(root, "line")) == 1, "one stroke of c and d; a stands alone"
    assert len(of_class(root, "dot")) == 3
    assert chart.rows[1] == ("b", "–", "0 to 0.9")
    assert len(of_class(root, "band")) == 1


def test_one_wide_interval_does_not_flatten_the_line() -> None:
    points = (*(Point(str(n), 0.02, 0.01, 0.03) for n in range(8)), Point("thin", None, 0.0, 1.0))
    root = drawn(lines("l", "Rate", [Line("rate", points)], whole, whole=1))
    y = float(of_class(root, "dot")[0].get("cy", ""))
    assert y < HEIGHT - TOP - 40


def test_layers_of_a_bar_stand_on_each_other() -> None:
    chart = stacked("s", "Tokens", ["a"], [("in", [3.0]), ("out", [1.0])], whole)
    low, high = (of_class(drawn(chart), f"layer-{n}")[0] for n in (1, 2))
    assert float(high.get("y", "")) + float(high.get("height", "")) == pytest.approx(float(low.get("y", "")), abs=0.02)
    assert chart.rows == (("a", "3", "1"),)


def test_segments_fill_the_bar_in_order() -> None:
    chart = segments("s", "Queue", [Segment("done", 3, "done"), Segment("waiting", 1, "waiting")], whole)
    parts = of_class(drawn(chart), "part")
    assert [(p.get("x"), p.get("width")) for p in parts] == [("0%", "75%"), ("75%", "25%")]
    assert chart.legend == (("done", "3 done"), ("waiting", "1 waiting"))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_point_are_drawn(count: int) -> None:
    labels = [str(n) for n in range(count)]
    charts = [
        histogram("h", "t", [Bar(x, 1) for x in labels], whole, "n"),
        lines("l", "t", [Line("v", tuple(Point(x, 1.0, 0.5, 2.0) for x in labels))], whole),
        lines("m", "t", [], whole),
        stacked("s", "t", labels, [("a", [1.0] * count)], whole),
        segments("g", "t", [Segment("a", count, "done")], whole),
    ]
    for chart in charts:
        drawn(chart)
        assert chart.is_empty is (count == 0 or chart is charts[2])
    ET.fromstring(str(sparkline([1.0] * count, "t")))  # noqa: S314 - as above


def test_names_are_text_whatever_they_hold() -> None:
    bars = [Bar(HOSTILE, 1, 0, 2)]
    charts = [
        histogram("h", HOSTILE, bars, whole, HOSTILE),
        lines("l", HOSTILE, [Line(HOSTILE, (Point(HOSTILE, 1.0),))], whole),
        stacked("s", HOSTILE, [HOSTILE], [(HOSTILE, [1.0])], whole),
        segments("g", HOSTILE, [Segment(HOSTILE, 1, "done")], whole),
    ]
    for root in [*(drawn(c) for c in charts), ET.fromstring(str(sparkline([1.0], HOSTILE)))]:  # noqa: S314 - as above
        assert not [e for e in root.iter() if e.tag == "script" or any(a.startswith("on") for a in e.attrib)]
        assert "\u202e" not in ET.tostring(root, encoding="unicode")


def test_no_chart_has_a_style_of_its_own() -> None:
    chart = histogram("h", "t", [Bar("a", 1, 0, 2)], whole, "n")
    assert not [e for e in drawn(chart).iter() if "style" in e.attrib or e.tag == "style"]
