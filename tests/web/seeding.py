"""Fill a running service with believable traffic, and with what people said and did about it."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from collector.decode.protobuf import decode
from collector.journal.record import Record
from collector.processors.cost import CostConfig, cost
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from collector.processors.sample import sample
from collector.receivers.feedback import to_logs_request
from evalgate.errors import BadInput
from evalgate.review.labels import drafts_of, save
from exporters.clickhouse.insert import insert_batch
from schema.component import Context
from schema.policy import SamplePolicy
from schema.verdict import Label, Severity, Verdict
from tests.web.shop import ASKS_AGAIN, CUT_OFF, IGNORED, INVENTED, request_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from evalgate.database import TenantDatabase
    from exporters.clickhouse.connect import Database
    from tests.web.shop import Told

AT_ONCE: Final = 200
AFTER_S: Final = 30
LABELS_AT_ONCE: Final = 40
FEEDBACK_AT_ONCE: Final = 500
REVIEWERS: Final = ("ada", "grace")
SEVERITIES: Final[Mapping[str, Severity]] = {
    INVENTED: Severity.HIGH, IGNORED: Severity.MEDIUM, CUT_OFF: Severity.LOW, ASKS_AGAIN: Severity.LOW,
}  # fmt: skip
OTHER_WORDS: Final[Mapping[str, str]] = {CUT_OFF: "answers cut off"}
"""What the second reviewer calls a mode; somebody will merge the two."""
CORRECTED: Final = "You may return it within 30 days of delivery if it is unused or came damaged."


def send(otlp_http: str, told: Sequence[Told]) -> None:
    """Send traces and the thumbs of users as an app does. `otlp_http`: the address of the receiver."""
    for some in _some(told, AT_ONCE):
        _post(f"{otlp_http}/v1/traces", request_of(some))
    thumbs = _thumbs(told)
    for some in _some(thumbs, FEEDBACK_AT_ONCE):
        _post(f"{otlp_http}/v1/feedback", json.dumps(some).encode())


def store(database: Database, told: Sequence[Told]) -> None:
    """Store traces and thumbs without a service, through the same decoder and processors; received when they ended."""
    context = Context("seed", Path())
    steps = (canonical, with_failures, sample(SamplePolicy(), context), cost(CostConfig(), context))
    days: dict[date, list[Told]] = {}
    for one in told:
        days.setdefault(one.started.date(), []).append(one)
    for number, some in enumerate(days.values(), 1):
        at_ns = int(some[-1].started.timestamp() + AFTER_S) * 1_000_000_000
        records = [
            Record(2 * number, "default", "traces", "json", gzip=False, received_unix_ns=at_ns, body=request_of(some))
        ]
        if thumbs := _thumbs(some):
            body = to_logs_request(json.dumps(thumbs).encode(), now_unix_ns=at_ns).SerializeToString()
            records.append(
                Record(2 * number + 1, "default", "logs", "protobuf", gzip=False, received_unix_ns=at_ns, body=body)
            )
        batch = decode(records)
        for step in steps:
            batch = step(batch)
        insert_batch(database, batch, f"seed/{number}")


def label(database: TenantDatabase, told: Sequence[Told], seed: int = 3) -> None:
    """Give the labels of two reviewers: of most failures, and of some that are fine. They differ now and then."""
    draw = Random(seed)  # noqa: S311 - a simulation
    labels = []
    for one in told:
        read = draw.random() < (0.75 if one.mode else 0.03)
        if not read:
            continue
        first, second = draw.sample(REVIEWERS, 2)
        labels.append(label_of(one, first))
        if draw.random() < 0.35:
            labels.append(label_of(one, second, differs=draw.random() < 0.15))
    for some in _some(labels, LABELS_AT_ONCE):
        drafts = list(drafts_of(database, some))
        save(database, [d for d in drafts if not isinstance(d, BadInput)])


def _thumbs(told: Sequence[Told]) -> list[dict[str, Any]]:
    return [
        {"trace_id": t.trace_id, "name": "thumbs", "value": t.thumb, **({"comment": t.comment} if t.comment else {})}
        for t in told
        if t.thumb is not None
    ]


def _some(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for begin in range(0, len(values), size):
        yield list(values[begin : begin + size])


def label_of(one: Told, who: str, *, differs: bool = False, queue: str = "") -> Label:
    """Return what this person says of a trace; who differs misses what is wrong with it."""
    if not one.mode or differs:
        verdict = Verdict.GOOD if not one.mode or one.mode == ASKS_AGAIN else Verdict.PARTIAL
        return Label(one.trace_id, "", verdict, annotator=who, queue=queue)
    mode = OTHER_WORDS.get(one.mode, one.mode) if who == REVIEWERS[1] else one.mode
    return Label(
        one.trace_id,
        "",
        Verdict.BAD,
        mode,
        CORRECTED if one.mode == INVENTED else None,
        comment="the policy says 30 days" if one.mode == INVENTED else "",
        annotator=who,
        severity=SEVERITIES[one.mode],
        queue=queue,
    )


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"}, method="POST")  # noqa: S310 - ours, on loopback
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=60) as answer:
        answer.read()
