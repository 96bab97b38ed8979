"""C6: the database answers with errors that pass.

Injected: instead of storing, three times in a row: too many parts, too little memory, a read-only replica, too many
queries, 500 and 503 of a proxy, and an answer that is no HTTP.
Holds: each is tried again, slower where the server is overloaded; nothing is dropped or quarantined; stored once.
Figure: kinds of errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporters.clickhouse.faults import SLOW_DOWN_S
from tests.faults.delivering import INSERT, Delivery, batch, counts, record, server_port, through, whole
from tests.tools.proxy import Fault, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.server


def answer(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def fault(code: int, name: str) -> bytes:
    return answer("500 Internal Server Error", f"Code: {code}. DB::Exception: No. ({name}) (version 26.7.2.1)")


ERRORS = {
    "too many parts": (fault(252, "TOO_MANY_PARTS"), SLOW_DOWN_S[252]),
    "memory limit": (fault(241, "MEMORY_LIMIT_EXCEEDED"), 0.0),
    "read-only replica": (fault(242, "TABLE_IS_READ_ONLY"), 0.0),
    "too many queries": (fault(202, "TOO_MANY_SIMULTANEOUS_QUERIES"), SLOW_DOWN_S[202]),
    "500": (answer("500 Internal Server Error", "<html>"), 0.0),
    "503 of a proxy": (answer("503 Service Unavailable", "", "Retry-After: 4"), 4.0),
    "no HTTP": (b"\x15\x03\x01\x00\x02\x02\x16" * 100, 0.0),
}


@pytest.mark.parametrize("error", list(ERRORS))
def test_it_is_tried_again_until_it_is_stored(
    server_dsn: str, error: str, record_property: Callable[[str, object], None]
) -> None:
    said, at_least_s = ERRORS[error]
    with Proxy(server_port(server_dsn)) as proxy:
        faults = [proxy.fault(Fault("up", how="answer", said=said, matching=INSERT)) for _ in range(3)]
        delivery = Delivery(through(server_dsn, proxy.port))
        lane, source = delivery.run(batch(1, record(1, 40)))
    assert all(f.happened.is_set() for f in faults)
    assert lane.progress.retries == 3
    assert [w - at_least_s for w in delivery.waits] == [0.5, 1.0, 2.0], "backoff, behind what the server asks for"
    assert source.set_aside == []
    assert counts(server_dsn) == whole(40)
    record_property("figure", f"{error}: stored once at the fourth try, waits of {delivery.waits} s at most")
