"""Inflating hostile gzip."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.inflate import gunzip
from schema.errors import Reason, Refused


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
    "body", [b"", b"x", b"\x1f\x8b\x08", zlib.compress(b"text"), gzip.compress(b"one") + b"trailing", bytes(100)]
)
def test_what_is_not_gzip_is_refused(body: bytes) -> None:
    assert reason(body) is Reason.BAD_DATA
