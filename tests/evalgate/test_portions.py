"""Portions cover what is stored, each hour once, and ask no more of a database than it allows."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalgate.database import TenantDatabase
from evalgate.sample.portions import HOUR_S, Portion, TooLarge, _cut, arrow
from schema.errors import Permanent, Retryable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalgate.database import Database

hours = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 5_000)), max_size=40, unique_by=lambda h: h[0]).map(
    lambda found: sorted((HOUR_S * hour, spans) for hour, spans in found)
)


@given(hours, st.integers(100, 2_000))
def test_every_hour_is_in_one_portion_or_in_all_slices_of_one(found: list[tuple[int, int]], most: int) -> None:
    portions = list(_cut(found, most))
    for hour, spans in found:
        mine = [p for p in portions if p.first_s <= hour < p.last_s]
        assert [p.slice for p in mine] == list(range(mine[0].slices))
        assert len(mine) == mine[0].slices
        # What is cut by trace id is one hour; other portions hold no more than they may.
        assert (len(mine) > 1) == (spans > most)
        held = sum(n for other, n in found if mine[0].first_s <= other < mine[0].last_s)
        assert held <= most or mine[0].last_s - mine[0].first_s == HOUR_S
        assert held / mine[0].slices <= most


def test_halves_of_a_portion_are_its_slices() -> None:
    whole = Portion(0, HOUR_S, slice=1, slices=3)
    assert [(p.slice, p.slices) for p in whole.halves()] == [(1, 6), (4, 6)]
    values = range(1000)
    parts = [{v for v in values if v % p.slices == p.slice} for p in whole.halves()]
    assert parts[0] | parts[1] == {v for v in values if v % 3 == 1}
    assert not parts[0] & parts[1]


class Answering:
    """A database that refuses, and then answers."""

    cluster = ""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked: list[Mapping[str, Any]] = []

    def raw(self, _sql: str, *, settings: Mapping[str, Any], **_rest: Any) -> bytes:
        self.asked.append(settings)
        if self.codes:
            cause = RuntimeError("refused")
            cause.code = self.codes.pop(0)  # type: ignore[attr-defined]  # as the driver's errors have one
            kind = Retryable if cause.code in {497, 241} else Permanent  # type: ignore[attr-defined]  # as above
            raise kind("refused") from cause
        out = io.BytesIO()
        table = pa.table({"n": [1]})
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
        return out.getvalue()

    def read(self) -> pa.Table:
        return arrow(TenantDatabase(cast("Database", self), "default"), "SELECT 1 AS n", {}, max_bytes=7)


def test_where_a_reader_may_set_no_limit_the_limit_of_the_database_holds() -> None:
    allowed = Answering()
    assert allowed.read().to_pylist() == [{"n": 1}]
    assert [s["max_result_bytes"] for s in allowed.asked] == [7]
    reader = Answering(497)
    assert reader.read().to_pylist() == [{"n": 1}]
    assert ["max_result_bytes" in s for s in reader.asked] == [True, False]


@pytest.mark.parametrize("code", [241, 307, 396])
def test_what_is_too_large_is_told_apart_from_other_errors(code: int) -> None:
    with pytest.raises(TooLarge):
        Answering(code).read()
    with pytest.raises(TooLarge):
        Answering(497, code).read()
    with pytest.raises(Permanent):
        Answering(62).read()
