"""Inflating hostile gzip."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.inflate import FIRST_BYTES, MAX_MEMBERS, RATIO_FROM_BYTES, gunzip
from schema.errors import Limit, Reason, Refused


def reason(body: bytes, limit: int = 1000) -> Reason:
    with pytest.raises(Refused) as caught:
        gunzip(body, limit)
    return caught.value.reason


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_members_are_joined(parts: list[bytes]) -> None:
    assert gunzip(b"".join(gzip.compress(p) for p in parts), 2000) == b"".join(parts)


@pytest.mark.parametrize("members", [1, 2, 10])
def test_the_limit_is_exact_and_counts_all_members(members: int) -> None:
    body = gzip.compress(bytes(1000 // members)) * members
    assert gunzip(body, 1000) == bytes(1000)
    assert reason(body, 999) is Reason.TOO_LARGE
    assert reason(body + gzip.compress(b"x")) is Reason.TOO_LARGE


def test_cut_anywhere_it_is_refused() -> None:
    body = gzip.compress(b"some text that is long enough to have a body" * 3)
    assert [reason(body[:end]) for end in range(len(body))] == [Reason.BAD_DATA] * len(body)


def test_cut_in_its_second_member_it_is_refused() -> None:
    first, second = gzip.compress(b"one"), gzip.compress(b"two")
    for end in range(1, len(second)):
        assert reason(first + second[:end]) is Reason.BAD_DATA


@given(st.binary(max_size=100), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(data: bytes, at: int, flip: int) -> None:
    body = bytearray(gzip.compress(data, mtime=0))
    at %= len(body)
    body[at] ^= flip
    try:
        got = gunzip(bytes(body), 1000)
    except Refused:
        return
    assert got == data  # time, level, system and the padding of the last byte have no meaning


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"\x1f\x8b\x08", zlib.compress(b"text"), gzip.compress(b"one", mtime=0) + b"trailing", bytes(100)],
)
def test_what_is_not_gzip_is_refused(body: bytes) -> None:
    assert reason(body) is Reason.BAD_DATA


def test_the_ratio_counts_from_a_size_on_and_is_exact() -> None:
    data = bytes(3 * RATIO_FROM_BYTES)
    body, size = gzip.compress(data), len(data)
    ratio = -(-size // len(body))
    assert ratio > 500
    assert len(gunzip(body, 1 << 30, max_ratio=ratio)) == size
    with pytest.raises(Refused, match=f"more than {ratio - 1} times its size") as caught:
        gunzip(body, 1 << 30, max_ratio=ratio - 1)
    assert (caught.value.reason, caught.value.limit) == (Reason.TOO_LARGE, Limit.INFLATE_RATIO)
    small = gzip.compress(bytes(RATIO_FROM_BYTES))
    assert len(gunzip(small, 1 << 30, max_ratio=1)) == RATIO_FROM_BYTES
    with pytest.raises(Refused, match="times its size"):
        gunzip(gzip.compress(bytes(RATIO_FROM_BYTES + 1)), 1 << 30, max_ratio=1)


def test_the_number_of_members_is_limited() -> None:
    one = gzip.compress(b"a")
    assert gunzip(one * MAX_MEMBERS, 1000) == b"a" * MAX_MEMBERS
    assert reason(one * (MAX_MEMBERS + 1)) is Reason.BAD_DATA


@pytest.mark.parametrize("behind", [b"", gzip.compress(b"")], ids=["one member", "the last trailer says nothing"])
@pytest.mark.parametrize("size", [0, FIRST_BYTES, FIRST_BYTES + 1, FIRST_BYTES + 2, 5 * FIRST_BYTES + 3])
def test_room_is_asked_for_before_it_is_used(size: int, behind: bytes) -> None:
    data = bytes(i & 255 for i in range(size))
    body = gzip.compress(data) + behind
    reserved: list[int] = []
    assert gunzip(body, 1 << 20, reserve=reserved.append) == data
    assert size <= sum(reserved) + 1
    assert sum(reserved) <= 4 * max(size, FIRST_BYTES)

    def full(n_bytes: int) -> None:
        raise Refused(Reason.UNAVAILABLE, str(n_bytes))

    with pytest.raises(Refused, match=r"^\d+$"):
        gunzip(body, 1 << 20, reserve=full)


def test_a_bomb_is_given_no_more_room_than_its_ratio_allows() -> None:
    body = gzip.compress(bytes(30 << 20))
    reserved: list[int] = []
    with pytest.raises(Refused, match="times its size"):
        gunzip(body, 64 << 20, max_ratio=200, reserve=reserved.append)
    assert sum(reserved) <= 2 * max(RATIO_FROM_BYTES, 200 * len(body))
