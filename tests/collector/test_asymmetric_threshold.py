"""`th` on what is forwarded: written so that it reads back, and everything else of a tracestate stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.sampling import MAX_MEMBERS, MAX_VALUE_CHARS, RANGE, TraceState, read_tracestate, threshold, with_threshold

MEMBERS = st.lists(st.from_regex(r"\A[a-np-z][a-z0-9]{0,5}=[a-z0-9:;]{0,8}\Z"), max_size=40)


@given(st.integers(0, RANGE - 1), MEMBERS, st.none() | st.integers(0, RANGE - 1), st.none() | st.integers(0, RANGE - 1))
def test_what_is_written_reads_back_and_the_rest_stays(
    limit: int, members: list[str], random: int | None, before: int | None
) -> None:
    said = [f"{key}:{value:014x}" for key, value in (("th", before), ("rv", random)) if value is not None]
    text = ",".join((*members[:3], *([f"ot={';'.join(said)}"] if said else []), *members[3:]))
    found = with_threshold(text, limit)
    assert read_tracestate(found) == TraceState(random, limit)
    assert found.split(",")[1:] == members[: MAX_MEMBERS - 1]


@pytest.mark.parametrize(
    ("text", "rate", "said"),
    [
        ("", 1.0, "ot=th:0"),
        ("", 0.5, "ot=th:8"),
        ("vendor=1", 0.5, "ot=th:8,vendor=1"),
        ("vendor=1,ot=rv:0123456789abcd;x:y", 0.5, "ot=th:8;rv:0123456789abcd;x:y,vendor=1"),
        ("ot=th:c", 1.0, "ot=th:0"),
        (" , ot=th:zz , a=b,", 0.25, "ot=th:c,a=b"),
    ],
)
def test_spellings(text: str, rate: float, said: str) -> None:
    assert with_threshold(text, threshold(rate)) == said


def test_a_member_that_would_be_too_long_keeps_what_sampling_needs() -> None:
    most = MAX_VALUE_CHARS - len("rv:0123456789abcd;x:")
    found = with_threshold(f"ot=rv:0123456789abcd;x:{'y' * most}", threshold(0.5))
    assert found == "ot=th:8;rv:0123456789abcd"


def test_nothing_that_is_kept_has_a_threshold_that_nothing_reaches() -> None:
    with pytest.raises(ValueError, match="between 0 and"):
        with_threshold("", RANGE)
