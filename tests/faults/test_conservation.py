"""Conservation: everything received is in exactly one state of the ledger, whatever happens on the way.

Injected: a mix of good, partly bad, undecodable and re-sent requests, rows the database never takes, feedback; kill -9.
Holds: received = stored + refused + duplicate + quarantined + in the journal; `stored` is what the tables hold, to the
row; only counts of refusals of the last second before a kill may be missing, and never a span.
Figure: 6 kills, 500 requests and more, 0 spans unaccounted for.
"""

from __future__ import annotations

import http.client
import json
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from evalgate.app import run as evalgate
from exporters.clickhouse.connect import connect
from tests.collector.test_metrics import parse
from tests.faults.harness import Producer, conserve, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Collector, Launch

POISON = "the database does not take this"
POISON_EVERY = 4
"""Rounds. Each such row costs a dozen INSERTs to be found."""
LEDGER = """
SELECT signal, state, sum(count) AS n, sum(uncounted_requests) AS requests FROM ledger GROUP BY signal, state
"""
ROWS = "SELECT (SELECT count() FROM spans) AS traces, (SELECT count() FROM events) AS logs"


@dataclass(slots=True)
class Mix:
    """Sends one request of each kind in turn, and counts by kind what was answered. No answer, no count."""

    collector: Collector
    rng: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311 - the same mix each time
    poison: bool = False
    """Whether there are poison rows. Only a server refuses them; the embedded engine does not say which row it was."""
    rounds: int = 0
    sent: Counter[str] = field(default_factory=Counter)

    def send(self) -> None:
        self._post("good", self.spans(3))
        if self.poison and not self.rounds % POISON_EVERY:
            self._post("poison", self.spans(3, name=POISON))
        self.rounds += 1
        self._post("partly bad", self.spans(2, bad=3))
        again = self.spans(4)
        for _ in range(3):
            self._post("three times", again)
        self._post("garbage", b"\xff" * 12 + self.rng.randbytes(30), expected=400)
        request = ExportLogsServiceRequest()
        logs = request.resource_logs.add().scope_logs.add().log_records
        for _ in range(2):
            logs.add(time_unix_nano=self.rng.getrandbits(60) | 1)
        self._post("logs", request.SerializeToString(), path="/v1/logs")
        self._post("feedback", b'{"session_id": "s", "value": true}', path="/v1/feedback")
        self._post("bad feedback", b'{"value": true}', path="/v1/feedback", expected=400)

    def spans(self, n: int, *, bad: int = 0, name: str = "chat") -> bytes:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for i in range(n + bad):
            trace_id = bytes(16) if i < bad else self.rng.randbytes(16)
            scope.spans.add(trace_id=trace_id, span_id=self.rng.randbytes(8), name=name if i == bad else "chat")
        return bytes(request.SerializeToString())

    def _post(self, kind: str, body: bytes, *, path: str = "/v1/traces", expected: int = 200) -> None:
        content = "application/json" if path == "/v1/feedback" else "application/x-protobuf"
        host, _, port = self.collector.http.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("POST", path, body, {"content-type": content})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()
        assert answer.status == expected, (kind, answer.status)
        self.sent[kind] += 1


def ledger(collector: Collector) -> Counter[tuple[str, str, str]]:
    """Return what is booked, and what waits: (signal, state, "members" or "requests") → how many."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in collector.rows(LEDGER):
        found[row["signal"], row["state"], "members"] += row["n"]
        found[row["signal"], row["state"], "requests"] += row["requests"]
    for signals in collector.status()["ledger"]["in_journal"].values():
        for signal, n in signals.items():
            found[signal, "in_journal", "members"] += n
    return +found


def settle(collector: Collector) -> Counter[tuple[str, str, str]]:
    """Wait until nothing is under way, and the tables hold what the ledger says they hold."""
    agreed: Counter[tuple[str, str, str]] = Counter()

    def agrees() -> bool:
        nonlocal agreed
        # What is counted goes from memory to a file to the table: look there in this order.
        on_its_way = not collector.status()["ledger"]["is_written"] or list(
            (collector.journal / "ledger").glob("*.json")
        )
        agreed = ledger(collector)
        (rows,) = collector.rows(ROWS)
        return (
            not any(state == "in_journal" for _, state, _ in agreed)
            and agreed["traces", "stored", "members"] == rows["traces"]
            and agreed["logs", "stored", "members"] + agreed["feedback", "stored", "members"] == rows["logs"]
            and not on_its_way
        )

    try:
        until(agrees, "the ledger agrees with the tables")
    except AssertionError as e:
        pytest.fail(f"{e}: {agreed} {collector.rows(ROWS)} {collector.status()['ledger']}\n{collector.log[-3000:]}")
    return agreed


def run(launch: Launch, store: str, *, kills: int, rounds: int) -> str:
    collector = launch(dsn=store).start()
    poison = not store.startswith("chdb:")
    if poison:
        with connect(collector.dsn) as database:
            database.command(f"ALTER TABLE spans ADD CONSTRAINT no_poison CHECK name != '{POISON}'")
    mix, producer = Mix(collector, poison=poison), Producer(collector, pause_s=0.01)
    with producer:
        for n in range(kills):
            producer.until_acked(5)
            for _ in range(rounds):
                mix.send()
            if n % 2:  # a batch that meets many kills in a row is taken for their cause, and set aside
                until(lambda: collector.status()["delivery"]["batches"], "something is delivered between kills")
            collector.kill()
            collector.start()
        producer.until_acked(5)
    conserve(collector, producer)
    before = settle(collector)
    signals = {"logs": 2 * mix.sent["logs"], "feedback": mix.sent["feedback"]}
    for signal, acked in signals.items():
        assert before[signal, "stored", "members"] >= acked
    assert before["traces", "quarantined", "members"] >= mix.sent["poison"]
    assert before["traces", "refused", "requests"] <= mix.sent["garbage"]

    quiet = Mix(collector, random.Random(4), poison=poison)  # noqa: S311 - as above
    for _ in range(rounds):
        quiet.send()
    poisoned = quiet.sent["poison"]
    assert {n for kind, n in quiet.sent.items() if kind != "poison"} == {rounds, 3 * rounds}, "all is answered"
    wanted = {
        ("traces", "stored", "members"): (3 + 2 + 4) * rounds + 2 * poisoned,
        ("traces", "quarantined", "members"): poisoned,
        ("traces", "refused", "members"): 3 * rounds,
        ("traces", "refused", "requests"): rounds,
        ("traces", "duplicate", "members"): 8 * rounds,
        ("logs", "stored", "members"): 2 * rounds,
        ("feedback", "stored", "members"): rounds,
        ("feedback", "refused", "requests"): rounds,
    }
    with suppress(AssertionError):  # for a second counts are in memory alone
        until(lambda: settle(collector) - before == +Counter(wanted), "the quiet rounds are counted", deadline_s=10)
    assert settle(collector) - before == +Counter(wanted)
    metrics_say_the_same(collector, quiet)
    reconcile(collector, settle(collector), mix, quiet, producer)
    requests = sum(mix.sent.values()) + sum(quiet.sent.values()) + producer.acked_requests
    return f"{kills} kills, {requests} requests, 0 spans unaccounted for"


def metrics_say_the_same(collector: Collector, quiet: Mix) -> None:
    """Compare /metrics, which counts since the last start, with what was sent since then."""
    connection = http.client.HTTPConnection("127.0.0.1", collector.ports["health"], timeout=10)
    connection.request("GET", "/metrics")
    found = parse(connection.getresponse().read())
    connection.close()
    booked = {dict(labels)["state"]: n for (name, labels), n in found.items() if name == "evalgate_ledger_items"}
    assert set(booked) >= {"stored", "duplicate", "refused"}
    receiver = (("receiver", "otlp"),)
    assert found["otelcol_receiver_refused_spans", receiver] >= 3 * quiet.sent["partly bad"]
    assert found["evalgate_receiver_duplicate_spans", receiver] >= 8 * (quiet.sent["three times"] // 3)
    garbage = (("reason", "bad_data"), ("receiver", "otlp"), ("signal", "traces"))
    assert found["evalgate_receiver_refused_requests", garbage] >= quiet.sent["garbage"]
    assert found["otelcol_exporter_queue_size", (("exporter", "clickhouse"),)] == 0
    assert not [name for name, _ in found if name == "evalgate_ledger_in_journal"], "nothing waits"


def reconcile(collector: Collector, booked: Counter[Any], mix: Mix, quiet: Mix, producer: Producer) -> None:
    """Let `evalgate ledger reconcile` compare with what the senders know."""
    sent = len(producer.obligations)
    for kind, spans in (("good", 3), ("poison", 3), ("partly bad", 2)):
        sent += spans * (mix.sent[kind] + quiet.sent[kind])
    sent += 4 * (quiet.sent["three times"] // 3)
    health = f"http://127.0.0.1:{collector.ports['health']}"
    for claimed, code in ((sent, 0), (booked["traces", "stored", "members"] + 10**6, 1)):
        asked = ("--json", "--url", health, "--dsn", collector.dsn, "--sent", json.dumps({"sent": claimed}))
        assert evalgate(["ledger", "reconcile", *asked]) == code


def test_what_is_received_is_accounted_for(
    launch: Launch, store: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("figure", run(launch, store, kills=1, rounds=3))


@pytest.mark.timeout(180)
def test_what_is_received_is_accounted_for_over_many_kills(
    launch: Launch, store: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("figure", run(launch, store, kills=6, rounds=4))
