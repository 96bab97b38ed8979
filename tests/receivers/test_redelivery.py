"""A request that is sent again is answered once more and kept once; two requests are never taken for one."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from collector.receivers.redelivery import Redelivery, is_certain, key_of
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from collector.decode.validate import Encoding
    from schema.component import Signal

KEY = b"k" * 16


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def taker(answers: list[Any]) -> tuple[Callable[[], Awaitable[int]], list[int]]:
    """Return what takes requests, giving or raising one answer after the other, and what it gave."""
    given: list[int] = []

    async def take() -> int:
        await asyncio.sleep(0)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        given.append(answer)
        return int(answer)

    return take, given


def test_the_same_request_gets_the_first_answer_within_the_window() -> None:
    async def work() -> None:
        clock = Clock()
        seen = Redelivery[int](300, monotonic_s=clock)
        take, given = taker([1, 2])
        assert await seen.once(KEY, take, is_certain=yes) == (1, False)
        clock.now_s = 299.9
        assert await seen.once(KEY, take, is_certain=yes) == (1, True)
        clock.now_s = 300.0
        assert await seen.once(KEY, take, is_certain=yes) == (2, False)
        assert given == [1, 2]

    asyncio.run(work())


def test_those_that_come_meanwhile_wait_for_the_same_commit() -> None:
    async def work() -> None:
        seen = Redelivery[int]()
        release = asyncio.Event()

        async def take() -> int:
            await release.wait()
            return 7

        asked = [asyncio.create_task(seen.once(KEY, take, is_certain=yes)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(a.done() for a in asked)
        release.set()
        assert await asyncio.gather(*asked) == [(7, False), (7, True), (7, True)]

    asyncio.run(work())


def test_a_first_that_failed_is_not_remembered_and_one_that_waits_takes_its_place() -> None:
    async def work() -> None:
        seen = Redelivery[int]()
        take, given = taker([Refused(Reason.UNAVAILABLE, "full"), 5])
        results = await asyncio.gather(
            *(seen.once(KEY, take, is_certain=yes) for _ in range(3)), return_exceptions=True
        )
        assert isinstance(results[0], Refused)
        assert sorted(results[1:]) == [(5, False), (5, True)]  # type: ignore[type-var]  # the exception is the first
        assert given == [5]

    asyncio.run(work())


def test_a_sender_that_loses_patience_finds_its_request_done() -> None:
    async def work() -> None:
        seen = Redelivery[int]()
        release = asyncio.Event()
        taken = []

        async def take() -> int:
            await release.wait()
            taken.append(1)
            return 1

        impatient = asyncio.create_task(seen.once(KEY, take, is_certain=yes))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        again = asyncio.create_task(seen.once(KEY, take, is_certain=yes))
        release.set()
        assert await again == (1, True)
        assert taken == [1]

    asyncio.run(work())


def test_what_is_not_certain_is_taken_again() -> None:
    async def work() -> None:
        seen = Redelivery[int]()
        take, given = taker([1, 2])
        assert await seen.once(KEY, take, is_certain=no) == (1, False)
        assert await seen.once(KEY, take, is_certain=no) == (2, False)
        assert given == [1, 2]

    asyncio.run(work())


def test_a_window_of_nothing_recognises_nothing() -> None:
    async def work() -> None:
        for seen in (Redelivery[int](0), Redelivery[int](300, 0)):
            take, _ = taker([1, 2])
            await seen.once(KEY, take, is_certain=yes)
            assert await seen.once(KEY, take, is_certain=yes) == (2, False)
            assert len(seen) == 0

    asyncio.run(work())


def test_the_memory_is_bounded_and_the_oldest_goes_first() -> None:
    seen = Redelivery[int](300, 10, Clock())
    for n in range(25):
        seen.remember(n.to_bytes(16, "big"), n)
    assert len(seen) == 10

    async def work() -> None:
        take, _ = taker([0])
        assert await seen.once((24).to_bytes(16, "big"), take, is_certain=yes) == (24, True)
        assert await seen.once((14).to_bytes(16, "big"), take, is_certain=yes) == (0, False)

    asyncio.run(work())


def test_only_the_same_bytes_of_the_same_tenant_in_the_same_encoding_have_the_same_key() -> None:
    bodies = [b"", b"a", b"ab", b"\na", bytes(range(256)) * 400]
    cases: list[tuple[str, Signal, Encoding, bool]] = [
        ("a", "traces", "protobuf", False),
        ("b", "traces", "protobuf", False),
        ("a", "logs", "protobuf", False),
        ("a", "traces", "json", False),
        ("a", "traces", "protobuf", True),
    ]
    keys = [key_of(t, s, e, body, gzip=g) for t, s, e, g in cases for body in bodies]
    assert len(set(keys)) == len(keys)
    assert key_of("a", "traces", "json", memoryview(b"ab"), gzip=False) == key_of(
        "a", "traces", "json", b"ab", gzip=False
    )


def test_a_body_that_was_compressed_anew_is_the_same_one() -> None:
    first, again = (gzip.compress(b"spans" * 100, mtime=t) for t in (1, 2))
    assert first != again
    assert key_of("a", "traces", "protobuf", first, gzip=True) == key_of("a", "traces", "protobuf", again, gzip=True)
    other = gzip.compress(b"spanz" * 100, mtime=1)
    assert key_of("a", "traces", "protobuf", first, gzip=True) != key_of("a", "traces", "protobuf", other, gzip=True)


@pytest.mark.parametrize(
    ("times", "certain"),
    [
        ([], False),
        ([{}], False),
        ([{"time_unix_nano": 1_790_000_000_123_000_000}], False),
        ([{"time_unix_nano": 1_790_000_000_123_456_000}], True),
        ([{"observed_time_unix_nano": 1_790_000_000_123_456_789}], True),
        ([{}, {"time_unix_nano": 1_790_000_000_000_000_001}], True),
    ],
)
def test_equal_log_records_are_one_request_only_where_a_fine_time_says_so(
    times: list[dict[str, int]], *, certain: bool, as_json: Callable[[Any], bytes]
) -> None:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for time in times:
        scope.log_records.add(**time)
    plain = request.SerializeToString()
    assert is_certain("logs", "protobuf", plain, gzip=False, max_bytes=1000) is certain
    assert is_certain("logs", "json", as_json(request), gzip=False, max_bytes=1000) is certain
    assert is_certain("logs", "protobuf", gzip.compress(plain), gzip=True, max_bytes=1000) is certain
    assert is_certain("traces", "protobuf", b"", gzip=False, max_bytes=0)
