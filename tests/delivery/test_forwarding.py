"""A sidecar forwards failing traces whole, and of the others the baseline; what is undecided waits in the journal."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from collector.journal.cursor import path_of
from collector.processors.asymmetric_sampler.decisions import EARLY, FACT
from collector.processors.asymmetric_sampler.file import HEAD, MAGIC
from schema.errors import Retryable
from schema.sampling import threshold
from tests.clickhouse.otlp import span
from tests.delivery.fakes import Scripted
from tests.delivery.sidecar import (
    NAME,
    WAIT_S,
    Clock,
    flags,
    sidecar,
    spans_of,
    thresholds_of,
    traces_of,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from schema.batch import SpanBatch
    from tests.delivery.sidecar import Sidecar

TENTH = threshold(0.1)


def run(folder: Path, work: Callable[[Sidecar], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with sidecar(folder, **options) as one:
            await work(one)

    asyncio.run(main())


def test_failing_traces_and_the_baseline_go_on_and_the_rest_stays(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        for t in range(1, 41):
            await one.send(span(t, t), span(t, 100 + t, name="fails" if t % 7 == 0 else "work"))
        await one.pass_s()
        out = one.exporters["out"]
        kept = [t for t in range(1, 41) if t % 7 == 0 or t % 10 == 0]
        assert traces_of(out) == kept
        assert sorted(spans_of(out)) == sorted([(t, s) for t in kept for s in (t, 100 + t)])
        assert thresholds_of(out) == {(t, s): 0 if t % 7 == 0 else TENTH for t, s in spans_of(out)}
        assert one.progress().spans == 2 * len(kept)
        assert one.progress().sampled_out_spans == 2 * (40 - len(kept))
        assert one.counts()["late_failures"] == one.counts()["partial_traces"] == one.counts()["early_keeps"] == 0

    run(tmp_path, work)


def test_nothing_leaves_before_its_time_and_a_failure_within_it_keeps_the_whole_trace(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send(span(1, 1), span(2, 2))
        await one.pass_s(WAIT_S - 1)
        assert spans_of(one.exporters["out"]) == []
        await one.send(span(1, 3, name="fails"))
        await one.pass_s(1)
        assert spans_of(one.exporters["out"]) == [(1, 1)]
        await one.pass_s(WAIT_S)
        assert spans_of(one.exporters["out"]) == [(1, 1), (1, 3)]
        assert one.progress().sampled_out_spans == 1

    run(tmp_path, work)


def test_a_look_ahead_that_is_slow_decides_nothing_less(tmp_path: Path) -> None:
    free = threading.Event()

    def slow(batch: SpanBatch) -> SpanBatch:
        assert "fails" not in batch.name.to_pylist() or free.wait(30)
        return flags(batch)

    async def work(one: Sidecar) -> None:
        await one.send(span(1, 1))
        await one.decided()
        await one.send(span(1, 2, name="fails"))
        one.clock.pass_s(WAIT_S)
        one.clock.pass_s(WAIT_S)
        assert one.ahead.hold.released == 0
        free.set()
        await one.pass_s()
        assert spans_of(one.exporters["out"]) == [(1, 1), (1, 2)]

    run(tmp_path, work, processors={"slow": slow})


def test_what_comes_of_a_kept_trace_much_later_goes_on(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send(span(1, 1, name="fails"), span(2, 2))
        await one.pass_s()
        await one.pass_s(1000)
        await one.send(span(1, 3), span(2, 4))
        await one.pass_s()
        assert spans_of(one.exporters["out"]) == [(1, 1), (1, 3)]

    run(tmp_path, work)


def test_a_failure_that_comes_too_late_is_forwarded_from_then_on_and_counted(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send(span(1, 1), span(2, 2))
        await one.pass_s()
        await one.send(span(1, 3, name="fails"))
        await one.send(span(1, 4))
        await one.pass_s()
        await one.send(span(1, 5))
        await one.pass_s()
        assert spans_of(one.exporters["out"]) == [(1, 3), (1, 4), (1, 5)]
        assert (one.counts()["late_failures"], one.counts()["partial_traces"]) == (1, 1)
        assert set(thresholds_of(one.exporters["out"]).values()) == {0}

    run(tmp_path, work)


def test_a_thumbs_down_within_the_wait_keeps_the_trace_and_tenants_do_not_share_ids(tmp_path: Path) -> None:
    def judged(batch: SpanBatch) -> SpanBatch:
        origin = [i for i, t in enumerate(batch.origins.tenant) if t == "loud" and i in set(batch.logs.origin.tolist())]
        rows = tuple(
            {"origin": i, "trace_id": f"{t:032x}", "polarity": p}
            for i in origin
            for t, p in ((1, "negative"), (2, "positive"))
        )
        return dataclasses.replace(flags(batch), feedback=rows)

    async def work(one: Sidecar) -> None:
        for tenant in ("quiet", "loud"):
            await one.send(span(1, 1), span(2, 2), tenant=tenant)
        await one.pass_s(WAIT_S - 1)
        body = (await logs_of(1)).body
        await one.journal.append("loud", "logs", body, encoding="protobuf", gzip=False, members=1)
        await one.pass_s(1)
        out = one.exporters["out"]
        assert spans_of(out) == [(1, 1)]
        assert [b.origins.tenant[int(o)] for b in out.stored for o in b.origin] == ["loud"]

    run(tmp_path, work, processors={"judged": judged})


async def logs_of(*traces: int) -> Any:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord  # noqa: PLC0415 - as above

    from tests.clickhouse.otlp import logs_record  # noqa: PLC0415 - only here

    return logs_record([LogRecord(trace_id=t.to_bytes(16, "big")) for t in traces])


def test_log_records_follow_their_trace_and_those_of_none_always_go_on(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send_logs(1, 2, 0)
        await one.send(span(1, 1, name="fails"), span(2, 2))
        await one.pass_s()
        out = one.exporters["out"]
        ids = [int.from_bytes(t.tobytes(), "big") for b in out.stored for t in b.logs.trace_id]
        assert sorted(ids) == [0, 1]
        assert (one.progress().logs, one.progress().sampled_out_logs) == (2, 1)

    run(tmp_path, work)


def test_what_stays_is_booked_with_its_batch_under_one_reason(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send(span(1, 1), span(2, 2, name="fails"), tenant="acme")
        await one.send_logs(1)
        await one.pass_s()
        entries = {
            (e.tenant, e.signal, e.state.value, e.reason, e.count)
            for b in one.exporters["out"].stored
            for e in b.booked
        }
        assert entries == {
            ("acme", "traces", "sampled_out", "unflagged", 1),
            ("default", "logs", "sampled_out", "unflagged", 1),
        }

    run(tmp_path, work)


def test_an_incoming_threshold_is_never_lowered(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send(
            span(10, 1, trace_state="ot=th:f;rv:ffffffffffffff"),
            span(20, 2, trace_state="ot=th:8;rv:ffffffffffffff,x=y"),
            span(3, 3, name="fails", trace_state="ot=rv:ffffffffffffff;th:80000000000001"),
            span(5, 4, name="fails", trace_state="ot=th:8"),  # which its id does not reach: nobody sampled by it
        )
        await one.pass_s()
        said = {(10, 1): 0xF << 52, (20, 2): TENTH, (3, 3): (8 << 52) + 1, (5, 4): 0}
        assert thresholds_of(one.exporters["out"]) == said
        states = [s for b in one.exporters["out"].stored for s in b.trace_state.to_pylist()]
        assert states[1].endswith(";rv:ffffffffffffff,x=y")
        assert states[2] == "ot=rv:ffffffffffffff;th:80000000000001"

    run(tmp_path, work)


def test_a_trace_under_several_rates_says_the_highest(tmp_path: Path) -> None:
    def rated(batch: SpanBatch) -> SpanBatch:
        one = flags(batch, baseline=lambda _: True)
        import pyarrow as pa  # noqa: PLC0415 - only here

        rate = [0.5 if n == "often" else 0.1 for n in batch.name.to_pylist()]
        return one.with_columns({"baseline_rate": pa.array(rate, pa.float64())})

    async def work(one: Sidecar) -> None:
        await one.send(span(1, 1))
        await one.send(span(1, 2, name="often"))
        await one.pass_s()
        assert set(thresholds_of(one.exporters["out"]).values()) == {threshold(0.5)}

    run(tmp_path, work, processors={"rated": rated})


# -- room --------------------------------------------------------------------------------------------------------


def test_when_too_many_bytes_wait_the_oldest_is_kept_early_and_its_traces_stay_whole(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        big = "x" * 10_000
        for t in range(1, 41):
            await one.send(span(t * 10 + 1, t, name=big))
        await one.decided()
        await one.settled()
        out = one.exporters["out"]
        early = len(spans_of(out))
        assert 20 <= early <= 36
        assert one.ahead.hold.status()["waiting_bytes"] <= 100_000
        assert one.counts()["early_keeps"] == early
        assert set(thresholds_of(out).values()) == {0}
        await one.send(span(11, 99))  # of a trace that was kept early
        await one.pass_s()
        assert (11, 99) in spans_of(out)
        assert len(spans_of(out)) == early + 1  # what could wait was left out

    run(tmp_path, work, max_wait_bytes=100_000)


def test_memory_stays_within_its_bound_and_no_failing_trace_is_lost(tmp_path: Path) -> None:
    most = 50

    async def work(one: Sidecar) -> None:
        n = 10 * most
        for t in range(1, n + 1):
            await one.send(span(t, t), span(t, n + t, name="fails"))
        await until(lambda: len(traces_of(one.exporters["out"])) + most >= n)
        await one.pass_s()
        assert traces_of(one.exporters["out"]) == list(range(1, n + 1))
        assert len(spans_of(one.exporters["out"])) == 2 * n
        status = one.ahead.status()
        assert status["remembered_traces"] <= most
        assert status["forgotten_traces"] >= n - most
        memory = one.ahead.memory
        assert memory._decisions.rows.nbytes <= most * FACT.itemsize

    run(tmp_path, work, settings={"max_traces": most}, batch_records=7)


def test_a_batch_with_more_failing_traces_than_can_be_remembered_is_kept_whole(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send(*(span(t, t) for t in range(1, 31)))
        await one.send(*(span(t, 100 + t, name="fails") for t in range(1, 31)))
        await one.pass_s()
        assert len(spans_of(one.exporters["out"])) == 60

    run(tmp_path, work, settings={"max_traces": 5}, batch_records=10)


@dataclass
class Gated(Scripted):
    """Takes nothing before it is told to."""

    is_open: bool = False
    tried: int = 0

    async def export(self, batch: SpanBatch, token: str) -> None:
        self.tried += 1
        if not self.is_open:
            raise Retryable("connection refused")
        await super().export(batch, token)


def test_a_dead_backend_makes_the_look_ahead_wait_for_room_and_nothing_is_kept_early(tmp_path: Path) -> None:
    most, out = 20, Gated()

    async def work(one: Sidecar) -> None:
        for t in range(1, 101):
            await one.send(span(t, t, name="fails" if t % 2 else "work"))
            one.clock.pass_s(WAIT_S / 10)
            await asyncio.sleep(0.002)
        await until(lambda: out.tried > 2)
        assert not one.journal.reader(NAME).is_empty
        out.is_open = True
        one.clock.pass_s(WAIT_S)
        while one.ahead.hold.released < one.journal.next_sequence:
            one.clock.pass_s(0)
            await asyncio.sleep(0.001)
        await one.settled()
        assert traces_of(out) == [t for t in range(1, 101) if t % 2 or t % 10 == 0]
        assert one.counts()["early_keeps"] == 0

    run(tmp_path, work, exporters={"out": out}, settings={"max_traces": most})


def test_a_lane_that_is_not_required_and_far_behind_gets_too_much_rather_than_too_little(tmp_path: Path) -> None:
    slow, out = Gated(), Scripted()

    async def work(one: Sidecar) -> None:
        for t in range(1, 101):
            await one.send(span(t, t, name="fails" if t % 2 else "work"))
            if t % 20 == 0:
                await one.decided()
                one.clock.pass_s(WAIT_S)
                await until(lambda: one.journal.reader("out").position.sequence >= one.ahead.hold.released)
        slow.is_open = True
        await one.settled()
        failing = set(range(1, 101, 2))
        assert failing <= set(traces_of(slow))
        assert traces_of(out) == sorted(failing | set(range(10, 101, 10)))

    run(
        tmp_path,
        work,
        exporters={"out": out, "slow": slow},
        settings={"max_traces": 30},
        not_required=("slow",),
    )


# -- restart -----------------------------------------------------------------------------------------------------


def test_a_restart_flips_no_decision_also_under_another_policy(tmp_path: Path) -> None:
    first, second, clock = Gated(is_open=True), Scripted(), Clock()

    async def before(one: Sidecar) -> None:
        await one.send(span(1, 1, name="fails"), span(2, 2), span(10, 3))
        await one.pass_s()
        first.is_open = False
        await one.send(span(4, 4, name="fails"), span(5, 5), span(1, 6))
        await one.decided()

    async def after(one: Sidecar) -> None:
        await one.send(span(4, 7), span(10, 8), span(2, 9), span(20, 10))
        await one.decided()
        await one.pass_s()
        assert sorted(spans_of(second)) == [(1, 6), (4, 4), (4, 7), (10, 8)]
        assert one.ahead.status()["by_policy"] == {"aaaaaaaaaaaa": 3}

    async def main() -> None:
        async with sidecar(tmp_path, exporters={"out": first}, clock=clock) as one:
            await before(one)
        nothing = {"flags": partial(flags, baseline=lambda _: False)}
        async with sidecar(
            tmp_path, exporters={"out": second}, clock=clock, processors=nothing, policy="bbbbbbbbbbbb"
        ) as one:
            await after(one)

    asyncio.run(main())
    assert sorted(spans_of(first)) == [(1, 1), (10, 3)]


def test_without_its_file_a_sidecar_keeps_what_waits_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, out = Clock(), Scripted()

    async def main() -> None:
        async with sidecar(tmp_path, clock=clock) as one:
            await one.send(span(1, 1, name="fails"), span(2, 2))
            await one.decided()
        (tmp_path / "decisions").unlink()
        async with sidecar(tmp_path, exporters={"out": out}, clock=clock) as one:
            await one.send(span(3, 3))
            await one.decided()
            await one.pass_s()

    asyncio.run(main())
    assert spans_of(out) == [(1, 1), (2, 2)]
    assert "decisions is gone" in caplog.text


def decisions_at(data: bytes) -> list[int]:
    """Return where each frame of a file of decisions begins, and where the last ends."""
    places = [len(MAGIC)]
    while data[places[-1] : places[-1] + HEAD.size].strip(b"\0"):
        places.append(places[-1] + HEAD.size + HEAD.unpack_from(data, places[-1])[1])
    return places


def last_frame(data: bytes) -> bytes:
    at = decisions_at(data)[-2] + HEAD.size + 3
    return data[:at] + b"garbage" + data[at + 7 :]


def between_frames(data: bytes) -> bytes:
    return data[: decisions_at(data)[-2]]


def a_length(data: bytes) -> bytes:
    at = decisions_at(data)[2] + 4
    return data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :]


def zeroed_head(data: bytes) -> bytes:
    at = decisions_at(data)[2]
    return data[:at] + bytes(HEAD.size) + data[at + HEAD.size :]


def an_older_copy(data: bytes) -> bytes:
    end = decisions_at(data)[3]
    return data[:end] + bytes(len(data) - end)


DAMAGES = (last_frame, between_frames, a_length, zeroed_head, an_older_copy)


@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_lost_decisions_is_told_and_what_waits_is_kept_also_over_a_second_restart(
    tmp_path: Path, damage: Callable[[bytes], bytes], starts: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock, out = Clock(), Scripted()

    async def main() -> None:
        async with sidecar(tmp_path, exporters={"out": Gated()}, clock=clock) as one:
            for t in range(1, 6):
                await one.send(span(t, t, name="fails"), span(10 + t, 10 + t))
                await one.decided()
            clock.pass_s(WAIT_S)
        path = tmp_path / "decisions"
        damaged = damage(path.read_bytes())
        path.write_bytes(damaged)
        for _ in range(starts - 1):
            async with sidecar(tmp_path, exporters={"out": Gated()}, clock=clock):
                pass
        async with sidecar(tmp_path, exporters={"out": out}, clock=clock) as one:
            await one.pass_s()
            assert one.progress().sampled_out_spans == 0
            await one.send(span(30, 30), span(31, 31))
            await one.pass_s()
            assert one.progress().sampled_out_spans == 1  # what comes behind the damage is decided as ever
        assert (tmp_path / "decisions.bad").read_bytes() == damaged

    asyncio.run(main())
    assert traces_of(out) == [*range(1, 6), *range(11, 16), 30]
    assert caplog.text.count("decisions.bad") == 1


def test_a_decision_that_a_crash_tore_is_taken_again_and_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The crash lies between the write of a frame and the confirmation of its batch."""
    clock, out = Clock(), Scripted()
    path = tmp_path / "decisions"
    cursors = [path_of(tmp_path, name) for name in ("out", NAME)]

    async def main() -> None:
        async with sidecar(tmp_path, clock=clock) as one:
            await one.send(span(1, 1, name="fails"), span(2, 2))
            await one.decided()
            await until(lambda: all(p.exists() for p in cursors))
            before = {p: p.read_bytes() for p in cursors}
            await one.send(span(3, 3, name="fails"), span(4, 4))
            await one.decided()
        for cursor, data in before.items():
            cursor.write_bytes(data)
        path.write_bytes(last_frame(path.read_bytes()))
        async with sidecar(tmp_path, exporters={"out": out}, clock=clock) as one:
            await one.decided()
            await one.pass_s()
            assert one.counts()["early_keeps"] == 0

    asyncio.run(main())
    assert traces_of(out) == [1, 3]
    assert "decisions" not in caplog.text
    assert not path.with_name("decisions.bad").exists()


def test_early_keeps_are_remembered_over_a_restart(tmp_path: Path) -> None:
    clock, out = Clock(), Scripted()

    async def main() -> None:
        async with sidecar(tmp_path, clock=clock, max_wait_bytes=1) as one:
            await one.send(span(1, 1))
            await one.decided()
            await one.settled()
            assert one.counts()["early_keeps"] == 1
        async with sidecar(tmp_path, exporters={"out": out}, clock=clock) as one:
            assert one.ahead.memory.look_up(one.ahead.memory._decisions.rows["key"])[1].tolist() == [EARLY]
            await one.send(span(1, 2), span(2, 3))
            await one.pass_s()

    asyncio.run(main())
    assert spans_of(out) == [(1, 2)]


def test_an_early_keep_that_the_file_lost_is_told_though_the_look_ahead_wrote_nothing_since(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()

    async def main() -> None:
        async with sidecar(tmp_path, clock=clock, max_wait_bytes=1) as one:
            await one.send(span(1, 1))
            await one.decided()
            await one.settled()
        path = tmp_path / "decisions"
        path.write_bytes(between_frames(path.read_bytes()))
        async with sidecar(tmp_path, clock=clock):
            pass

    asyncio.run(main())
    assert "decisions.bad" in caplog.text


def test_a_clean_end_leaves_what_waits_to_the_next_start(tmp_path: Path) -> None:
    clock, out = Clock(), Scripted()

    async def main() -> None:
        async with sidecar(tmp_path, clock=clock) as one:
            await one.send(span(1, 1, name="fails"), span(2, 2))
            await one.drain()
            assert spans_of(one.exporters["out"]) == []
            assert one.journal.status()["backlog_records"] == 1
        async with sidecar(tmp_path, exporters={"out": out}, clock=clock) as one:
            await one.pass_s()
            assert one.journal.status()["backlog_records"] == 0

    asyncio.run(main())
    assert spans_of(out) == [(1, 1)]


def test_a_clean_end_may_decide_by_what_is_known(tmp_path: Path) -> None:
    async def work(one: Sidecar) -> None:
        await one.send(span(1, 1), span(2, 2))
        await one.send(span(1, 3, name="fails"))
        await one.drain()
        assert spans_of(one.exporters["out"]) == [(1, 1), (1, 3)]
        assert one.journal.status()["backlog_records"] == 0

    run(tmp_path, work, settings={"at_shutdown": "decide"})


def test_a_clock_that_jumps_makes_nothing_wait_longer(tmp_path: Path) -> None:
    class Jumping(Clock):
        def now_unix_ns(self) -> int:
            return 1_790_000_000_000_000_000 - (3600 * 10**9 if self.s else 0)

    async def work(one: Sidecar) -> None:
        one.clock.s = 1.0
        await one.send(span(1, 1, name="fails"))
        await one.pass_s()
        assert spans_of(one.exporters["out"]) == [(1, 1)]

    run(tmp_path, work, clock=Jumping())
