"""The waterfall: where bars are, what is on the critical path, what is left out of a long trace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from evalgate.web.waterfall import LEAST_WIDTH, WIDTH, critical_path, waterfall
from tests.evalgate.test_reading import SPAN

if TYPE_CHECKING:
    from evalgate.select.traces import Span

MS = 1_000_000


def at(span_id: str, parent: str, start_ms: float, end_ms: float, *, failing: bool = False) -> Span:
    duration = end_ms - start_ms
    start = int(start_ms * MS)
    return replace(
        SPAN, span_id=span_id, parent_span_id=parent, start_unix_ns=start, duration_ms=duration, failing=failing
    )


def test_bars_lie_where_their_spans_do() -> None:
    drawn = waterfall((at("a", "", 0, 100), at("b", "a", 25, 75), at("c", "b", 50, 50)))
    assert [(b.span.span_id, b.depth, b.x, b.width) for b in drawn.bars] == [
        ("a", 0, 0.0, WIDTH),
        ("b", 1, 250.0, 500.0),
        ("c", 2, 500.0, LEAST_WIDTH),
    ]
    assert drawn.duration_ms == 100
    assert drawn.ticks_ms == (0, 25, 50, 75, 100)


def test_the_critical_path_is_what_the_end_waited_for() -> None:
    spans = (
        at("root", "", 0, 100),
        at("slow", "root", 10, 60),
        at("beside", "root", 10, 40),
        at("last", "root", 65, 95),
        at("inside", "last", 70, 80),
        at("unawaited", "root", 90, 300),
    )
    assert critical_path(spans) == {"root", "slow", "last", "inside"}


def test_a_long_trace_is_cut_but_what_failed_is_there_with_what_is_above_it() -> None:
    turns = [at(f"t{n}", "root", n, n + 1) for n in range(1000)]
    deep = [at("d1", "t900", 900, 901), at("d2", "d1", 900, 901, failing=True)]
    drawn = waterfall((at("root", "", 0, 1000), *turns, *deep), limit=50)
    ids = [b.span.span_id for b in drawn.bars]
    assert len(ids) == 50
    assert ids[:3] == ["root", "t0", "t1"]
    assert ids[-3:] == ["t900", "d1", "d2"]
    assert drawn.left_out == 953
    assert len(waterfall((at("root", "", 0, 1000), *turns)).bars) == 1001


def test_nothing_is_drawn_of_nothing() -> None:
    assert waterfall(()).bars == ()


MOMENTS = st.integers(-(10**6), 10**6)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), MOMENTS, MOMENTS), max_size=12))
def test_whatever_clocks_and_parents_say_every_span_is_drawn_once_within_the_picture(
    given_spans: list[tuple[int, int, int, int]],
) -> None:
    spans = tuple(at(f"s{i}", f"s{p}", start, end) for i, p, start, end in given_spans)
    drawn = waterfall(spans)
    assert sorted(b.span.span_id for b in drawn.bars) == sorted({s.span_id for s in spans})
    for bar in drawn.bars:
        assert 0 <= bar.x <= WIDTH - LEAST_WIDTH
        assert LEAST_WIDTH <= bar.width <= WIDTH - bar.x + 0.02
    assert critical_path(spans) <= {s.span_id for s in spans}
