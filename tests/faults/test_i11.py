"""I11: keys that are names of something else.

Injected: `__proto__`, `constructor`, `__class__`, `../`, NUL, newlines, quotes, SQL, an empty key, one of 10 000 dots,
and 300 000 different keys.
Holds: keys are data: they are stored as sent (cut at their limit); no table, column, file or metric is made of one, and
neither memory nor the next request remembers them.
Figure: different keys, memory before and after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import urlopen

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.content import await_rows, post
from tests.redact.places import value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.faults.harness import Collector, Launch

KEYS = [
    "__proto__", "constructor.prototype", "__class__.__init__.__globals__", "toString", "../../etc/passwd", "a\x00b",
    "line\nbreak", '"quoted"', "`ticked`", "'; DROP TABLE spans; --", "{x:String}", "${table}", "%s%n", "", " ",
    "\u202e", "tenant", "trace_id", "service.name", "." * 200,
]  # fmt: skip
OURS = {"tenant", "trace_id", "service.name"}
SPANS, KEYS_A_SPAN, REQUESTS = 100, 1000, 3
ALLOWED_BYTES = 300 << 20


def request(first: int, keys: Iterable[Iterable[str]]) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    for number, of_span in enumerate(keys, start=first):
        span = scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"))
        for key in of_span:
            span.attributes.add(key=key, value=value("v"))
    return made


def shape(collector: Collector) -> tuple[object, ...]:
    """Return what a name could be made into: columns and files."""
    columns = collector.rows("SELECT table, name FROM system.columns WHERE database = currentDatabase() ORDER BY ALL")
    return [tuple(row.values()) for row in columns], sorted(p.name for p in collector.data_dir.iterdir())


def metrics(collector: Collector) -> str:
    """Return the metrics as a scraper gets them."""
    with urlopen(f"http://127.0.0.1:{collector.ports['health']}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_keys_are_data(launch: Launch, record_property: Callable[[str, object], None]) -> None:
    collector = launch(config={"service": {"journal": {"segment_bytes": 8 << 20, "max_bytes": 512 << 20}}}).start()
    post(collector, "traces", request(1, [["plain"]]))
    await_rows(collector, spans=1)
    before, rss = shape(collector), collector.rss_bytes()
    post(collector, "traces", request(2, [KEYS]))
    await_rows(collector, spans=2)
    (row,) = collector.rows("SELECT span_attributes FROM spans WHERE length(span_attributes) > 1")
    assert set(row["span_attributes"]) == set(KEYS)
    for i in range(REQUESTS):
        first = 1000 * (i + 1)
        keys = ((f"k{i}.{s}.{k}" for k in range(KEYS_A_SPAN)) for s in range(SPANS))
        post(collector, "traces", request(first, keys))
    post(collector, "traces", request(9, [["." * 10_000, "x" * 10_000]]))
    await_rows(collector, spans=3 + REQUESTS * SPANS)
    (row,) = collector.rows(
        "SELECT span_attributes AS a FROM spans WHERE lower(hex(trace_id)) = {id:String}", {"id": f"{9:032x}"}
    )
    assert sorted(len(k.encode()) for k in row["a"]) == [256, 256]
    assert shape(collector) == before
    said = metrics(collector)
    assert [k for k in (*KEYS, "k0.", "xxxx") if len(k) > 1 and k not in OURS and k in said] == []
    assert len(said.splitlines()) < 1000
    grown = collector.rss_bytes() - rss
    assert grown < ALLOWED_BYTES, f"{grown >> 20} MiB"
    record_property("figure", f"{REQUESTS * SPANS * KEYS_A_SPAN} keys, {grown >> 20} MiB more")
