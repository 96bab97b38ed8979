"""The kernel, the plain search and the definition find the same secrets, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.processors.redact.detectors import DETECTORS
from collector.processors.redact.search import Judge, Search, Texts
from tests.redact.oracle import SECRETS, in_context, secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SEARCH = Search(DETECTORS)
PIECES = [s for _, s in SECRETS] + [in_context(n, s) for n, s in SECRETS]
JUNK = st.one_of(
    st.text(max_size=24),
    st.text(alphabet="0123456789 -", max_size=40),
    st.text(alphabet="abcXYZ019_-+/=.:@\\\"' \n", max_size=60),
    st.sampled_from(["sk-", "AKIA", "eyJ", "://", ":x@", "token=", '"password": "', "Bearer ", "KEY-----\n", "\\n",
                     "-----BEGIN "]),
)  # fmt: skip


@st.composite
def text(draw: st.DrawFn) -> bytes:
    """Junk with secrets in it, whole, cut, or run into each other."""
    parts: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        secret = draw(st.sampled_from(PIECES))
        parts += (draw(JUNK), secret[: draw(st.sampled_from((len(secret), len(secret), len(secret) - 1, 12)))])
    return "".join([*parts, draw(JUNK)]).encode("utf-8", "replace")


def texts_of(texts: Sequence[bytes]) -> tuple[NDArray[np.int64], Texts]:
    """Return where each text begins, and the texts in one buffer."""
    length = np.array([len(t) for t in texts], np.int64)
    start = np.cumsum(length) - length
    return start, Texts(b"".join(texts), np.ones(len(texts), np.uint8), start, length)


def places(texts: Sequence[bytes], *, compiled: bool) -> list[set[int]]:
    """Return for each text which of its bytes are found to be secret. They lie in one buffer, with nothing between."""
    start, given_texts = texts_of(texts)
    length = given_texts.length
    judge = Judge(given_texts.buffer, lambda _: False)
    (SEARCH.by_kernel if compiled else SEARCH.plainly)(given_texts, judge)
    whole = {i for s in judge.spans for i in range(s.start, s.end)}
    return [{i - s for i in whole if s <= i < s + n} for s, n in zip(start.tolist(), length.tolist(), strict=True)]


@settings(max_examples=150)
@given(st.lists(text(), min_size=1, max_size=4))
@example([b"sk-abcdefghijklmnop", b"QRST1234 sk-abcdefghijklmnopQ"])
@example([b"\\someone@example.com", b"\\unknown@example.com", b"\\nobody@example.com"])
@example([b"1234 4111 1111 1111 1111 12/25"])
@example([b'{"k":"a\\nsk-abcdefghijklmnopQ"}'])
@example([b"eyJ" * 40 + b".eyJhbGci.x", b"@" * 30, b"http://a:b@c"])
def test_the_kernel_finds_what_the_definition_says(texts: list[bytes]) -> None:
    expected = [secrets(t) for t in texts]
    assert places(texts, compiled=True) == expected
    assert places(texts, compiled=False) == expected


@pytest.mark.parametrize(("name", "secret"), SECRETS)
@pytest.mark.parametrize("before", range(17))
def test_every_kind_is_found_at_every_place_in_a_word(name: str, secret: str, before: int) -> None:
    whole = in_context(name, secret)
    for after in ("", ' and so on, "x"', "\n" + "a" * before):
        text = f"{'x' * before} {whole}{after}".encode()
        at = text.index(secret.encode())
        (found,) = places([text], compiled=True)
        assert set(range(at, at + len(secret))) <= found, (name, text)
        assert not found & set(range(before)), "and what stands before is not"


@pytest.mark.parametrize(
    "harmless",
    [
        "The quick brown fox; max_tokens=100000000000000000000",
        "sk-estimator-doc-link-container sk-toggleable__content",
        "550e8400-e29b-41d4-a716-446655440000 0af7651916cd43dd8448eb211c80319c chatcmpl-2cead93bd26901d0aa",
        "1732176000000000000 and 1732176000123 and 0.4111111111111111 and 4111111111111112",
        "https://example.com/@user/path?at=10:30 and a@b",
        "basic understanding-of-a-long-hyphenated-word-here",
        '{"name": "get_weather_forecast_for_a_city"}',
        "monkey=banana_banana_banana_1 database: postgres_16_4_release_candidate",
        "-----BEGIN CERTIFICATE-----\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo\n-----END CERTIFICATE-----",
    ],
)
def test_what_only_looks_alike_is_left_alone(harmless: str) -> None:
    on = Search([d for d in DETECTORS if d.default])
    data = harmless.encode()
    judge = Judge(data, lambda _: False)
    on.by_kernel(Texts(data, np.ones(1, np.uint8), np.zeros(1, np.int64), np.array([len(data)])), judge)
    assert judge.spans == []


def test_more_candidates_than_there_is_room_for_are_all_judged() -> None:
    texts = [b"AKIAIOSFODNN7EXAMPLE " * 400, b"x" * 30, b"sk-abcdefghijklmnopQ " * 300] * 12
    found = places(texts, compiled=True)
    assert [len(f) for f in found] == [20 * 400, 0, 20 * 300] * 12


def test_a_text_made_to_be_slow_is_not() -> None:
    """Two million bytes that begin a secret everywhere: reading them again from each would take hours."""
    for piece in (b"eyJ-", b"sk-a", b"AKIA-", b"token=", b"-----BEGIN ", b"a@", b"://:", b"4 "):
        data = piece * (200_000 // len(piece))
        judge = Judge(data, lambda _: False)
        SEARCH.by_kernel(Texts(data, np.ones(1, np.uint8), np.zeros(1, np.int64), np.array([len(data)])), judge)
        assert len(judge.spans) <= len(data)
