from __future__ import annotations

import builtins  # noqa: TC003 - `bytes` is a method here
from typing import Any, Self

import orjson
import pytest

from exporters.clickhouse.engine import EngineError
from exporters.clickhouse.faults import PUSHED, InsertFault
from exporters.clickhouse.stream import UNKNOWN_STATUS, push

INSERT = "INSERT INTO `spans` (`a`)"
OWN, OTHER = "own", "other"


class Engine:
    """An engine that takes every INSERT, as it says, and meets errors meanwhile."""

    def __init__(self, *errors: dict[str, Any], before: str = "before", later: str = OWN) -> None:
        old = {**error(1, "old"), "own": before}
        self._answers = iter([[old], [old | {"own": OWN}, *errors], [{"own": later}]])

    def query(self, sql: str, form: str) -> Engine:
        assert "queryID() AS own" in sql
        assert form == "JSONEachRow"
        return self

    def bytes(self) -> builtins.bytes:
        return b"\n".join(map(orjson.dumps, next(self._answers)))

    def send_insert(self, statement: str, form: str) -> Engine:  # noqa: ARG002 - the engine's signature
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def append(self, piece: builtins.bytes) -> None:
        pass

    def finish(self) -> str:
        return "done"


def error(code: int, message: str, *, query: str = OWN, times: int = 1) -> dict[str, Any]:
    return {"own": OWN, "code": code, "name": "E", "value": str(times), "message": message, "query": query}


NAMED = "Constraint `c` for table default.spans is violated"


@pytest.mark.parametrize(
    ("met", "code"),
    [
        pytest.param([error(469, NAMED)], 469, id="surely its own"),
        pytest.param([error(469, NAMED), error(243, "no space")], 243, id="what another try may change goes first"),
        pytest.param([error(469, f"{NAMED}: {PUSHED} default.v")], UNKNOWN_STATUS, id="a view may have stored rows"),
        pytest.param([error(395, "thrown")], UNKNOWN_STATUS, id="its own, and does not name the table"),
        pytest.param([error(469, NAMED, query=OTHER)], None, id="of another query"),
        pytest.param([error(252, "Too many parts", query=OTHER)], None, id="of resources, of another query"),
        pytest.param([error(469, NAMED, query=OTHER, times=2)], UNKNOWN_STATUS, id="hidden by another query"),
        pytest.param([error(60, "no table default.x", query=OTHER, times=2)], None, id="of queries of others"),
        pytest.param([error(252, "Too many parts", query="")], 252, id="of resources, of no query"),
        pytest.param([error(47, "no such column", query="")], None, id="of a thread of the engine"),
    ],
)
def test_an_error_is_taken_for_what_it_surely_is(met: list[dict[str, Any]], code: int | None) -> None:
    if code is None:
        assert push(Engine(*met), INSERT, "Native", [b"x"]) == "done"
        return
    with pytest.raises(InsertFault, match=rf"^Code: {code}\. DB::Exception: .* \(E\)$") as caught:
        push(Engine(*met), INSERT, "Native", [b"x"])
    assert caught.value.code == code
    assert EngineError(str(caught.value)).code == code, "whoever sends it to this process hears the same"


@pytest.mark.parametrize("ids", [{"before": OWN}, {"later": "its own"}])
def test_where_the_id_of_the_insert_is_not_known_nothing_is_refused_for_good(ids: dict[str, str]) -> None:
    for query in (OWN, OTHER):
        with pytest.raises(InsertFault) as caught:
            push(Engine(error(469, NAMED, query=query), **ids), INSERT, "Native", [b"x"])
        assert caught.value.code == UNKNOWN_STATUS
