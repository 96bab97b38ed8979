"""A sidecar passes on what it believes of a tracestate, and nothing else of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from schema.sampling import Trust
from tests.clickhouse.otlp import span
from tests.delivery.sidecar import sidecar

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        (Trust(), ["ot=th:0;rv:ffffffffffffff", "ot=th:0,x=y", "ot=th:c;rv:ffffffffffffff"]),
        (Trust(reads=False), ["ot=th:0", "ot=th:0,x=y", "ot=th:0"]),
    ],
)
def test_what_is_not_believed_is_not_passed_on(tmp_path: Path, trust: Trust, expected: list[str]) -> None:
    async def work() -> None:
        async with sidecar(tmp_path, trust=trust) as one:
            await one.send(
                span(1, 1, name="fails", trace_state="ot=rv:ffffffffffffff;th:fffffffffffff8"),
                span((1 << 128) - 1, 2, name="fails", trace_state="x=y,ot=th:ffffffffffffff"),
                span(3, 3, name="fails", trace_state="ot=th:c;rv:ffffffffffffff"),
            )
            await one.pass_s()
            assert [s for b in one.exporters["out"].stored for s in b.trace_state.to_pylist()] == expected

    asyncio.run(work())
