"""Entries of the ledger add up, undo each other, and never carry a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from schema.ledger import MINUTE_NS, Entry, State, entries_of, merged, moved, taken_back, word


@dataclass(frozen=True, slots=True)
class Held:
    tenant: str = "a"
    signal: Literal["traces", "logs"] = "traces"
    received_unix_ns: int = 7 * MINUTE_NS + 1
    members: int = 3


ENTRIES = st.lists(
    st.builds(
        Entry,
        tenant=st.sampled_from("ab"),
        minute=st.integers(0, 2),
        signal=st.sampled_from(["traces", "logs", "feedback"]),
        state=st.sampled_from(State),
        count=st.integers(-5, 5),
        uncounted_requests=st.integers(-2, 2),
    )
)


@given(ENTRIES)
def test_merging_keeps_every_sum_and_has_one_entry_for_each_key(entries: list[Entry]) -> None:
    found = merged(entries)
    assert sum(e.count for e in found) == sum(e.count for e in entries)
    assert sum(e.uncounted_requests for e in found) == sum(e.uncounted_requests for e in entries)
    keys = [(e.tenant, e.minute, e.signal, e.state, e.reason) for e in found]
    assert keys == sorted(set(keys))
    assert all(e.count or e.uncounted_requests for e in found)


@given(ENTRIES)
def test_what_is_taken_back_leaves_nothing(entries: list[Entry]) -> None:
    assert merged((*entries, *taken_back(entries))) == ()


def test_what_retention_removes_is_expired_and_no_longer_stored() -> None:
    stored = Entry("a", 7, "traces", State.STORED, count=5)
    gone = moved([stored], State.EXPIRED)
    assert gone == (Entry("a", 7, "traces", State.EXPIRED, count=5), Entry("a", 7, "traces", State.STORED, count=-5))
    assert merged((stored, *gone)) == (Entry("a", 7, "traces", State.EXPIRED, count=5),)


def test_a_record_counts_its_members_and_one_that_nobody_counted_is_a_request() -> None:
    records = [Held(), Held(), Held(members=0), Held(tenant="b", signal="logs", received_unix_ns=0, members=1)]
    assert entries_of(records, State.QUARANTINED, "unreadable") == (
        Entry("a", 7, "traces", State.QUARANTINED, "unreadable", count=6, uncounted_requests=1),
        Entry("b", 0, "logs", State.QUARANTINED, "unreadable", count=1),
    )


def test_a_reason_is_a_word_and_a_message_becomes_other() -> None:
    assert [word(w) for w in ("", "bad_data", "limit:spans", "Code: 53. Cannot parse 'secret'", "x" * 65, "a\nb")] == [
        "",
        "bad_data",
        "limit:spans",
        "other",
        "other",
        "other",
    ]
