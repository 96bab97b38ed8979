"""What the generator counts, and from when it counts."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from bench.tools.loadgen import Answer, Load, Run, parse, quantile_ms
from collector.receivers.otlp import OtlpConfig, otlp
from schema.component import Context
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.receivers.otlp import OtlpReceiver


class Clock:
    """Time that passes when someone sleeps or answers."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Scripted:
    """A connection whose answers, and how long each takes, are written down."""

    def __init__(self, clock: Clock, answers: Sequence[tuple[float, Answer]]) -> None:
        self._clock = clock
        self._answers = iter(answers)
        self.bodies: list[bytes] = []
        self.closed = False

    def send(self, body: bytes) -> Answer:
        self.bodies.append(body)
        seconds, answer = next(self._answers)
        self._clock.sleep(seconds)
        return answer

    def close(self) -> None:
        self.closed = True


def run(load: Load, answers: Sequence[tuple[float, Answer]]) -> tuple[Run, Scripted]:
    clock = Clock()
    sender = Scripted(clock, answers)
    return Run(load, connect=lambda _: sender, monotonic=clock.monotonic, sleep=clock.sleep), sender


def load(**changes: object) -> Load:
    settings = {"endpoint": "127.0.0.1:1", "kind": "small", "spans": 24, "batch": 8, "connections": 1, **changes}
    return Load(**settings)  # type: ignore[arg-type]  # the tests write them right


OK = Answer(ok=True)


def test_what_is_answered_is_counted() -> None:
    one, sender = run(
        load(), [(0.01, OK), (0.03, Answer(ok=True, rejected=3)), (0.02, Answer(ok=False, why="http 400"))]
    )
    sent = one.go()
    assert (sent.requests, sent.spans, sent.accepted, sent.rejected, sent.failed) == (3, 24, 13, 3, 8)
    assert sent.errors == {"http 400": 1}
    assert (sent.p50_ms, sent.max_ms) == (30.0, 30.0)
    assert sent.bytes == sum(len(body) for body in sender.bodies)
    assert sender.closed


def test_a_request_refused_for_now_is_sent_again_after_the_pause_asked_for() -> None:
    refusal = Answer(ok=False, retry_after_s=2.0, why="http 503")
    one, sender = run(load(spans=8), [(0.0, refusal), (0.0, refusal), (0.0, OK)])
    sent = one.go()
    assert (sent.accepted, sent.retries, sent.failed) == (8, 2, 0)
    assert sender.bodies[0] == sender.bodies[1] == sender.bodies[2]
    assert sent.max_ms == pytest.approx(4000)


def test_at_a_rate_latency_counts_from_when_a_request_was_due() -> None:
    one, _ = run(load(rate=10.0), [(0.5, OK), (0.0, OK), (0.0, OK)])
    sent = one.go()
    # Due at 0, 100 and 200 ms; the first answer took 500 ms and held the others up.
    assert (sent.max_ms, sent.p50_ms) == (500.0, 400.0)


def test_in_a_closed_loop_latency_counts_from_the_send() -> None:
    one, _ = run(load(), [(0.5, OK), (0.0, OK), (0.0, OK)])
    assert one.go().p50_ms == 0.0


def test_nothing_is_sent_after_the_time_is_up() -> None:
    one, sender = run(load(max_seconds=1.0), [(2.0, OK)])
    assert one.go().requests == len(sender.bodies) == 1


def test_a_load_is_its_own_command_line() -> None:
    wanted = load(gzip=True, rate=2.5, protocol="grpc")
    assert parse([*wanted.arguments(), "--wait"]) == (wanted, True)


def test_the_generator_sends_to_this_machine_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--endpoint", "192.0.2.1:4318"])
    assert "this machine only" in capsys.readouterr().err


def test_a_quantile_of_nothing_is_no_number() -> None:
    assert math.isnan(quantile_ms([], 0.5))
    assert quantile_ms([0.001, 0.002, 0.003], 0.99) == 3.0


class Journal:
    """Keeps bodies, after it has refused some."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.bodies: list[tuple[bytes, str, bool]] = []

    async def append(
        self, tenant: str, signal: str, body: bytes | memoryview, *, encoding: str, gzip: bool, members: int
    ) -> int:
        del tenant, signal, members
        if self.refusals:
            self.refusals -= 1
            raise Refused(Reason.UNAVAILABLE, "not now", retry_after_s=0.01)
        self.bodies.append((bytes(body), encoding, gzip))
        return len(self.bodies)


@pytest.mark.parametrize(
    ("protocol", "compressed", "kept"),
    [
        ("http", False, ("protobuf", False)),
        ("http", True, ("protobuf", True)),
        ("http-json", False, ("json", False)),
        ("grpc", False, ("protobuf", False)),
        ("grpc", True, ("protobuf", False)),
    ],
)
def test_every_way_of_sending_reaches_a_real_receiver(
    protocol: str, *, compressed: bool, kept: tuple[str, bool], tmp_path: Path
) -> None:
    journal = Journal(refusals=1)

    async def send() -> tuple[int, int, int]:
        any_port = {"endpoint": "127.0.0.1:0"}
        config = OtlpConfig.model_validate({"protocols": {"grpc": any_port, "http": any_port}})
        receiver: OtlpReceiver = otlp(config, Context("otlp", tmp_path, journal))
        await receiver.start()
        try:
            endpoint = receiver.endpoints["grpc" if protocol == "grpc" else "http"]
            one = Run(load(endpoint=endpoint, protocol=protocol, gzip=compressed, connections=2))
            sent = await asyncio.to_thread(one.go)
        finally:
            await receiver.shutdown()
        return sent.accepted, sent.retries, sent.failed

    assert asyncio.run(send()) == (24, 1, 0)
    assert {(encoding, gzip) for _, encoding, gzip in journal.bodies} == {kept}
    assert len({body for body, *_ in journal.bodies}) == 3
