"""The journal as its users see it: acknowledged is durable, delivered once, refused when it cannot keep."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from collector.journal import Batch, Journal, JournalOptions
from collector.journal.cutter import weight
from collector.journal.inspect import inspect
from collector.journal.layout import HEADER_BYTES, RECORD_BYTES, TRAILER_BYTES
from collector.journal.seal import recover_last
from collector.journal.segment import find_segments
from schema.errors import ConfigError, Reason, Refused, Retryable
from tests.journal.conftest import NOON_NS, READER, SEGMENT_BYTES, FaultyFs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

T = TypeVar("T")
DAY_NS = 86_400 * 10**9


def go(work: Coroutine[object, object, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await work

    return asyncio.run(bounded())


async def put(journal: Journal, *bodies: bytes) -> list[int]:
    return await asyncio.gather(
        *(journal.append("default", "traces", b, encoding="protobuf", gzip=False, members=1) for b in bodies)
    )


async def take(journal: Journal) -> Batch:
    batch = await journal.reader(READER).next_batch()
    assert batch is not None
    return batch


async def bodies_left(options: JournalOptions, fs: FaultyFs | None = None) -> list[bytes]:
    """Open, deliver everything, close."""
    journal = await Journal.open(options, fs=fs)
    journal.drain()
    found: list[bytes] = []
    while (batch := await journal.reader(READER).next_batch()) is not None:
        found += [r.body for r in batch.records]
        await journal.reader(READER).confirm(batch)
    await journal.close()
    return found


def test_what_is_appended_is_delivered_as_it_came(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options, now_unix_ns=lambda: NOON_NS)
        assert await journal.append("acme", "logs", b"\x1f\x8b", encoding="json", gzip=True, members=3) == 1
        (found,) = (await take(journal)).records
        assert (found.tenant, found.signal, found.encoding, found.gzip) == ("acme", "logs", "json", True)
        assert (found.sequence, found.received_unix_ns, found.body) == (1, NOON_NS, b"\x1f\x8b")
        assert found.members == 3
        await journal.close()

    go(work())


def test_one_sync_serves_many_waiters(options: JournalOptions, fs: FaultyFs) -> None:
    async def work() -> None:
        journal = await Journal.open(replace(options, group_linger_s=0.05), fs=fs)
        await put(journal, b"opens a segment")
        before = fs.syncs
        assert await put(journal, *(b"x" for _ in range(60))) == list(range(2, 62))
        assert fs.syncs == before + 1
        await journal.close()

    go(work())


def test_a_full_group_does_not_wait_for_company(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(replace(options, group_linger_s=3600))
        await put(journal, *(b"x" for _ in range(64)))
        await put(journal, *(bytes(100 << 10) for _ in range(11)))
        await journal.close()

    go(work())


@pytest.mark.parametrize("sync", [True, False])
def test_acknowledged_survives_a_power_cut_and_only_because_of_the_syncs(
    options: JournalOptions, fs: FaultyFs, *, sync: bool
) -> None:
    async def work() -> list[int]:
        journal = await Journal.open(replace(options, sync=sync), fs=fs)
        acknowledged: list[int] = []
        for i in range(30):
            acknowledged += await put(journal, *(b"%d-%d" % (i, k) + bytes(9000) for k in range(3)))
        journal._lock.release()
        journal._committer.shutdown()
        return acknowledged

    acknowledged = go(work())
    assert len(list(options.directory.glob("*.seg"))) > 2
    fs.cut_power(options.directory)
    left = go(bodies_left(options))
    assert len(acknowledged) == 90
    assert len(left) == (90 if sync else 0)


def test_a_failed_sync_refuses_its_waiters_and_the_next_group_has_a_new_segment(
    options: JournalOptions, fs: FaultyFs
) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await put(journal, b"one")
        fs.failing["sync"] = errno.EIO
        with pytest.raises(Refused) as refused:
            await put(journal, b"lost")
        assert refused.value.reason is Reason.UNAVAILABLE
        assert refused.value.retry_after_s
        assert not journal.failed.is_set()
        fs.failing.clear()
        assert await put(journal, b"two") == [2], "the sequence of what was refused is taken again"
        assert len(list(options.directory.glob("*.seg"))) == 2
        batch = await take(journal)
        assert [r.body for r in batch.records] == [b"one", b"two"]
        await journal.close()

    go(work())
    assert go(bodies_left(options)) == [b"one", b"two"]


def test_refused_bytes_that_reached_the_disk_anyway_are_not_read_after_a_restart(
    options: JournalOptions, fs: FaultyFs
) -> None:
    class Stubborn(FaultyFs):
        """Cannot even cut the file back."""

        def truncate(self, fd: int, size_bytes: int) -> None:
            if self.failing:
                raise OSError(errno.EIO, "EIO")
            super().truncate(fd, size_bytes)

    fs = Stubborn()

    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await put(journal, b"one")
        fs.failing["sync"] = errno.EIO
        with pytest.raises(Refused):
            await put(journal, b"refused")
        fs.failing.clear()
        await put(journal, b"two")
        await journal.close()

    go(work())
    assert any(b"refused" in p.read_bytes() for p in options.directory.glob("*.seg"))
    assert go(bodies_left(options)) == [b"one", b"two"]


def test_syncs_that_fail_again_and_again_mean_that_the_process_should_end(
    options: JournalOptions, fs: FaultyFs
) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        fs.failing["sync"] = errno.EIO
        for _ in range(2):
            with pytest.raises(Refused):
                await put(journal, b"x")
        assert journal.failed.is_set()
        await journal.close()

    go(work())


@pytest.mark.parametrize("operation", ["create", "write"])
def test_a_full_disk_refuses_and_goes_on_when_there_is_space(
    options: JournalOptions, fs: FaultyFs, operation: str
) -> None:
    most = bytes(SEGMENT_BYTES - 100_000)

    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await put(journal, most)
        fs.failing[operation] = errno.ENOSPC
        for _ in range(3):
            with pytest.raises(Refused) as refused:
                await put(journal, most)
            assert refused.value.reason is Reason.UNAVAILABLE
        assert not journal.failed.is_set()
        fs.failing.clear()
        await put(journal, b"two")
        await journal.close()

    go(work())
    assert go(bodies_left(options)) == [most, b"two"]


def test_the_journal_refuses_before_its_budget_is_spent_and_takes_again_after_delivery(
    options: JournalOptions,
) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        results = await asyncio.gather(*(put(journal, bytes(50_000)) for _ in range(60)), return_exceptions=True)
        refused = [r for r in results if isinstance(r, Refused)]
        taken = len(results) - len(refused)
        assert 0 < taken < 60
        assert all("full" in str(r) and r.retry_after_s for r in refused)
        on_disk = sum(p.stat().st_blocks * 512 for p in options.directory.glob("*.seg"))
        assert on_disk <= options.max_bytes
        delivered = 0
        while delivered < taken:
            batch = await take(journal)
            delivered += len(batch.records)
            await journal.reader(READER).confirm(batch)
        assert delivered == taken
        assert len(list(options.directory.glob("*.seg"))) == 1, "delivered segments are removed"
        await put(journal, bytes(50_000))
        await journal.close()

    go(work())


def test_a_body_larger_than_a_segment_is_refused_for_good(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        with pytest.raises(Refused) as refused:
            await put(journal, bytes(SEGMENT_BYTES))
        assert refused.value.reason is Reason.TOO_LARGE
        assert refused.value.retry_after_s is None
        await journal.close()

    go(work())


def test_after_close_nothing_is_taken(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        await journal.close()
        await journal.close()
        with pytest.raises(Refused, match="shutting down"):
            await put(journal, b"x")

    go(work())


def test_what_waits_at_close_is_committed(options: JournalOptions) -> None:
    async def work() -> list[int]:
        journal = await Journal.open(replace(options, group_linger_s=3600))
        waiting = [
            asyncio.create_task(journal.append("t", "traces", body, encoding="protobuf", gzip=False, members=1))
            for body in (b"a", b"b")
        ]
        await asyncio.sleep(0)  # both have begun now
        await journal.close()
        return [await w for w in waiting]

    assert go(work()) == [1, 2]
    assert go(bodies_left(options)) == [b"a", b"b"]


def test_an_unconfirmed_batch_is_cut_again_the_same_with_more_behind_it(options: JournalOptions) -> None:
    async def first() -> Batch:
        journal = await Journal.open(options)
        await put(journal, b"a", b"b")
        batch = await take(journal)
        await put(journal, b"c")
        await journal.close()
        return batch

    async def second() -> tuple[Batch, Batch]:
        journal = await Journal.open(options)
        again = await take(journal)
        await journal.reader(READER).confirm(again)
        rest = await take(journal)
        await journal.close()
        return again, rest

    batch = go(first())
    again, rest = go(second())
    assert (again.token, again.records) == (batch.token, batch.records)
    assert [r.body for r in rest.records] == [b"c"]
    assert rest.token != again.token


def test_the_cut_is_on_disk_before_the_batch_is_out(options: JournalOptions, fs: FaultyFs) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await put(journal, b"a")
        fs.failing["write_file"] = errno.ENOSPC
        with pytest.raises(Retryable):
            await journal.reader(READER).next_batch()
        fs.failing.clear()
        batch = await take(journal)
        assert json.loads((options.directory / "delivery.cursor").read_bytes().split(b" ", 2)[2])["cut"] == 1
        fs.failing["write_file"] = errno.EIO
        with pytest.raises(Retryable):
            await journal.reader(READER).confirm(batch)
        fs.failing.clear()
        await journal.reader(READER).confirm(batch)
        await journal.close()

    go(work())
    assert go(bodies_left(options)) == []


def test_what_is_confirmed_is_not_delivered_again(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        await put(journal, b"a")
        await journal.reader(READER).confirm(await take(journal))
        await put(journal, b"b")
        await journal.close()

    go(work())
    assert go(bodies_left(options)) == [b"b"]
    assert go(bodies_left(options)) == []


def test_sequences_go_on_after_everything_was_delivered_and_removed(options: JournalOptions) -> None:
    async def once() -> int:
        journal = await Journal.open(options)
        (sequence,) = await put(journal, b"x")
        await journal.reader(READER).confirm(await take(journal))
        await journal.close()
        return sequence

    assert [go(once()) for _ in range(4)] == [1, 2, 3, 4]


def test_a_batch_is_bounded_in_bytes_and_in_records(options: JournalOptions) -> None:
    async def sizes(**limits: int) -> list[int]:
        journal = await Journal.open(
            replace(options, directory=options.directory / "-".join(limits), **limits)  # type: ignore[arg-type]  # ints
        )
        await put(journal, *(bytes(1000) for _ in range(10)))
        journal.drain()
        found = []
        while (batch := await journal.reader(READER).next_batch()) is not None:
            found.append(len(batch.records))
            await journal.reader(READER).confirm(batch)
        await journal.close()
        return found

    assert go(sizes(batch_bytes=3500)) == [3, 3, 3, 1]
    assert go(sizes(batch_records=4)) == [4, 4, 2]
    assert go(sizes(batch_bytes=10)) == [1] * 10


def test_a_gzip_body_weighs_what_it_inflates_to() -> None:
    assert weight(gzip.compress(bytes(100_000)), gzip=True) == 100_000
    assert weight(b"plain", gzip=False) == 5
    assert weight(b"short", gzip=True) == 5


def test_a_batch_never_spans_two_dates_of_receipt(options: JournalOptions) -> None:
    midnight = (NOON_NS // DAY_NS + 1) * DAY_NS
    times = iter([midnight - 2, midnight - 1, midnight, midnight + 1, midnight - 1, *[midnight] * 9])

    async def work() -> list[int]:
        journal = await Journal.open(replace(options, group_linger_s=0), now_unix_ns=lambda: next(times))
        journal._writer.commit = _without_clock(journal._writer.commit)  # type: ignore[method-assign]
        journal._now_unix_ns = lambda: next(times)
        await put(journal, b"1", b"2", b"3", b"4", b"5")
        found = []
        journal.drain()
        while (batch := await journal.reader(READER).next_batch()) is not None:
            found.append(len(batch.records))
            await journal.reader(READER).confirm(batch)
        await journal.close()
        return found

    assert go(work()) == [2, 2, 1]


def _without_clock(commit: Callable[..., T]) -> Callable[..., T]:
    return lambda entries, now_unix_ns: commit(entries, now_unix_ns=NOON_NS)  # noqa: ARG005 - same signature


def test_a_damaged_record_is_kept_aside_and_costs_only_itself(options: JournalOptions) -> None:
    async def fill() -> None:
        journal = await Journal.open(options)
        await put(journal, *(b"body %d" % i for i in range(5)))
        await journal.close()

    go(fill())
    (path,) = options.directory.glob("*.seg")
    data = path.read_bytes()
    at = data.index(b"body 2")
    path.write_bytes(data.replace(b"body 2", b"bodY 2"))
    assert go(bodies_left(options)) == [b"body 0", b"body 1", b"body 3", b"body 4"]
    (bad,) = (options.directory / "quarantine").glob("*.bad")
    assert b"bodY 2" in bad.read_bytes()
    about = json.loads(bad.with_name(bad.name + ".json").read_text())
    assert about["first_sequence"] == 3
    assert about["segment"] == path.name
    assert about["offset"] < at < about["offset"] + about["bytes"]
    assert "checksum" in about["reason"]


def test_a_damaged_header_costs_nothing(options: JournalOptions) -> None:
    async def fill() -> None:
        journal = await Journal.open(options)
        await put(journal, b"a", b"b")
        await journal.close()

    go(fill())
    (path,) = options.directory.glob("*.seg")
    data = path.read_bytes()
    path.write_bytes(bytes(HEADER_BYTES) + data[HEADER_BYTES:])
    assert go(bodies_left(options)) == [b"a", b"b"]


def test_a_lost_segment_is_put_on_record_and_the_rest_is_delivered(options: JournalOptions) -> None:
    async def fill() -> int:
        journal = await Journal.open(options)
        for i in range(12):
            await put(journal, b"%d" % i + bytes(50_000))
        await journal.close()
        return len(journal._durable.segments)

    assert go(fill()) == 3
    paths = sorted(options.directory.glob("*.seg"))
    first, after = (int(p.stem.split("-")[1]) for p in paths[1:])
    paths[1].unlink()
    left = [int(b[:2].rstrip(b"\0")) for b in go(bodies_left(options))]
    assert left == [*range(first - 1), *range(after - 1, 12)]
    (lost,) = (options.directory / "quarantine").glob("*.lost.json")
    about = json.loads(lost.read_text())
    assert (about["first_sequence"], about["last_sequence"]) == (first, after - 1)


def test_a_torn_tail_is_cut_off_and_kept(options: JournalOptions) -> None:
    async def fill() -> Path:
        journal = await Journal.open(options)
        await put(journal, b"whole")
        await put(journal, b"torn" * 10)
        journal._lock.release()
        journal._committer.shutdown()
        return journal._durable.segments[-1].path

    path = go(fill())
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"torn") + 5] + bytes(1000))
    assert go(bodies_left(options)) == [b"whole"]
    (bad,) = (options.directory / "quarantine").glob("*.bad")
    assert bad.read_bytes().endswith(b"tornt")


def test_a_start_seals_what_a_crash_left_open_and_gives_its_space_back(options: JournalOptions) -> None:
    async def crash() -> Path:
        journal = await Journal.open(options)
        await put(journal, b"a", b"b")
        journal._lock.release()
        journal._committer.shutdown()
        return journal._durable.segments[-1].path

    path = go(crash())
    assert path.stat().st_size == SEGMENT_BYTES

    async def start() -> None:
        await (await Journal.open(options)).close()

    go(start())
    assert path.stat().st_size == HEADER_BYTES + 2 * (RECORD_BYTES + len("default") + 1) + TRAILER_BYTES
    fs = FaultyFs()
    (found,) = find_segments(fs, options.directory)
    assert found.journal_id is not None
    assert recover_last(fs, found.segment, found.journal_id).tail.how == "sealed"


def test_a_confirmation_survives_a_power_cut(options: JournalOptions, fs: FaultyFs) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await put(journal, b"delivered")
        await journal.reader(READER).confirm(await take(journal))
        await put(journal, b"not yet")
        journal._lock.release()
        journal._committer.shutdown()

    go(work())
    fs.cut_power(options.directory)
    assert go(bodies_left(options)) == [b"not yet"]


@pytest.mark.parametrize("left_by_the_crash", [b"", b"EGWAL", bytes(SEGMENT_BYTES)])
def test_a_segment_that_was_never_used_is_removed(options: JournalOptions, left_by_the_crash: bytes) -> None:
    async def fill() -> None:
        journal = await Journal.open(options)
        await put(journal, b"a")
        await journal.close()

    go(fill())
    (options.directory / "0000000000000002-0000000000000002.seg").write_bytes(left_by_the_crash)
    assert go(bodies_left(options)) == [b"a"]
    assert len(list(options.directory.glob("*.seg"))) <= 1


@pytest.mark.parametrize("damage", ["garbage", "missing"])
def test_without_a_readable_cursor_delivery_begins_at_the_oldest(options: JournalOptions, damage: str) -> None:
    async def fill() -> None:
        journal = await Journal.open(options)
        await put(journal, b"a")
        await journal.reader(READER).confirm(await take(journal))
        await put(journal, b"b")
        await journal.close()

    go(fill())
    cursor = options.directory / "delivery.cursor"
    if damage == "missing":
        cursor.unlink()
    else:
        cursor.write_bytes(cursor.read_bytes().replace(b'"next":2', b'"next":3'))
    assert go(bodies_left(options)) == [b"a", b"b"]


def test_a_second_owner_is_refused_with_the_pid_of_the_first(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
            await Journal.open(options)
        assert await put(journal, b"unharmed") == [1]
        await journal.close()
        await (await Journal.open(options)).close()

    go(work())


def test_a_journal_of_another_format_is_refused_and_left_alone(options: JournalOptions) -> None:
    from collector.journal.layout import SegmentHeader, crc32c  # noqa: PLC0415 - only here

    options.directory.mkdir()
    head = bytearray(SegmentHeader(bytes(16), 1, 1, 1).pack())
    head[8] = 9
    head[-4:] = crc32c(bytes(head[:-4])).to_bytes(4, "little")
    path = options.directory / "0000000000000001-0000000000000001.seg"
    path.write_bytes(head)
    with pytest.raises(ConfigError, match="format 9"):
        go(Journal.open(options))
    assert path.read_bytes() == head


def test_an_unusable_directory_is_a_clear_error(options: JournalOptions) -> None:
    options.directory.parent.joinpath("journal").write_text("a file")
    with pytest.raises(ConfigError, match=r"cannot be used.*service\.journal\.directory"):
        go(Journal.open(options))


def test_quarantined_records_can_be_read_again(options: JournalOptions) -> None:
    from collector.journal.layout import RawRecord, seed, unpack_header  # noqa: PLC0415 - only here
    from collector.journal.scan import Window, scan  # noqa: PLC0415 - only here

    fs = FaultyFs()

    async def work() -> Path:
        journal = await Journal.open(options, fs=fs)
        await put(journal, b"poison", b"poison too")
        batch = await take(journal)
        path = await journal.reader(READER).quarantine(batch.records, "the database said no")
        await journal.close()
        return path

    path = go(work())
    fd = fs.open(path)
    header = unpack_header(fs.read(fd, HEADER_BYTES, 0))
    items = list(scan(Window(fs, fd, path.stat().st_size), seed=seed(header.journal_id, 0), sequence=1))
    fs.close(fd)
    assert [i.body for i in items if isinstance(i, RawRecord)] == [b"poison", b"poison too"]
    assert "the database said no" in path.with_name(path.name + ".json").read_text()


def test_a_journal_can_be_looked_at_while_it_is_in_use(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        await put(journal, b"a", b"b", b"c")
        found = inspect(options.directory)
        assert found["owner_pid"] == os.getpid()
        assert (found["backlog_records"], found["next_sequence"], found["segments"]) == (3, 4, 1)
        await journal.reader(READER).confirm(await take(journal))
        assert inspect(options.directory)["backlog_records"] == 0
        await journal.close()

    go(work())
    found = inspect(options.directory)
    assert (found["owner_pid"], found["confirmed_sequence"]) == (None, 4)
    with pytest.raises(ConfigError, match="no journal"):
        inspect(options.directory / "elsewhere")
