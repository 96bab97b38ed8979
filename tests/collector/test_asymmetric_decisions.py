"""What is remembered of traces: bounded, never lowered, the same after a restart, and honest about what is gone."""

from __future__ import annotations

import errno
import functools
import itertools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.journal.fs import Fs
from collector.processors.asymmetric_sampler.decisions import (
    BASELINE,
    EARLY,
    FACT,
    FAILING,
    Decisions,
    Recent,
    facts,
)
from collector.processors.asymmetric_sampler.file import DecisionFile
from collector.processors.asymmetric_sampler.keys import trace_keys
from collector.processors.asymmetric_sampler.memory import Memory

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = st.sampled_from([0, FAILING, BASELINE, EARLY, FAILING | BASELINE])
ROWS = st.lists(st.tuples(st.integers(0, 40), FLAGS, st.sampled_from([0.0, 0.1, 0.5])), min_size=1, max_size=12)


def found(rows: list[tuple[int, int, float]], last: int, *, policy: int = 0) -> Any:
    keys, flags, rate = (np.array(x) for x in zip(*rows, strict=True))
    return facts(
        keys.astype(np.uint64), np.full(len(rows), last, np.uint64), rate, flags.astype(np.uint8), policy=policy
    )


@given(st.lists(ROWS, max_size=20), st.integers(1, 30))
def test_the_table_is_bounded_never_lowers_and_says_up_to_where_it_forgot(batches: list[Any], most: int) -> None:
    table = Decisions.empty(most)
    model: dict[int, tuple[int, float, int]] = {}
    for sequence, rows in enumerate(batches):
        table.add(found(rows, sequence))
        for key in {key for key, flags, _ in rows if flags or key in model}:
            was = model.get(key, (0, 0.0, 0))
            said = [(flags, rate) for k, flags, rate in rows if k == key]
            every = functools.reduce(operator.or_, (flags for flags, _ in said), was[0])
            model[key] = (every, max(was[1], *(rate for _, rate in said)), sequence)
        here = table.rows["key"].tolist()
        assert len(here) <= most
        assert here == sorted(set(here))
        gone = set(model) - set(here)
        assert all(model[k][2] <= table.forgotten_through for k in gone)
        model = {k: v for k, v in model.items() if k in set(here)}
    if not table.forgotten:
        assert {int(r["key"]): (int(r["flags"]), float(r["rate"]), int(r["last"])) for r in table.rows} == {
            k: (f, r, s) for k, (f, r, s) in model.items()
        }


def test_a_rate_of_a_row_without_a_flag_in_one_batch_counts_as_one_fact() -> None:
    one = found([(7, 0, 0.5), (7, FAILING, 0.0), (8, 0, 0.1)], 3)
    assert one["key"].tolist() == [7, 8]
    assert one["flags"].tolist() == [FAILING, 0]
    assert one["rate"].tolist() == [0.5, 0.1]


@given(st.lists(st.lists(st.integers(0, 200), max_size=30, unique=True), max_size=20), st.integers(2, 64))
def test_who_was_left_out_is_known_for_a_while_and_taken_once(batches: list[list[int]], most: int) -> None:
    recent = Recent.empty(most)
    for keys in batches:
        recent.add(np.array(keys, np.uint64))
        assert len(recent) <= most
        last = np.array(keys[: most // 2], np.uint64)
        assert sorted(recent.take(last).tolist()) == sorted(last.tolist())
        assert recent.take(last).tolist() == []


def test_keys_are_of_the_trace_and_its_tenant() -> None:
    rng = np.random.default_rng(7)
    ids = rng.integers(0, 256, (100_000, 16)).astype(np.uint8)
    ids[1] = ids[0]
    origin = np.zeros(len(ids), np.int32)
    keys = trace_keys(ids, origin, ("a",), b"journal")
    assert keys[0] == keys[1]
    assert len(np.unique(keys)) == len(ids) - 1
    origin[1] = 1
    apart = trace_keys(ids, origin, ("a", "b"), b"journal")
    assert apart[0] == keys[0] != apart[1]
    assert trace_keys(ids, origin, ("a", "b"), b"another")[0] != keys[0]
    assert len(trace_keys(ids[:0], origin[:0], (), b"journal")) == 0


# -- the file ----------------------------------------------------------------------------------------------------


def memory(
    folder: Path, *, fs: Fs | None = None, policy: str = "p1", read_before: int = 0, most: int = 100, mark: int = 0
) -> Memory:
    one = Memory(DecisionFile(folder, fs or Fs()), b"journal", max_traces=most, policy=policy)
    one.load(read_before, mark=mark)
    return one


def known(one: Memory) -> dict[int, tuple[int, float]]:
    return {int(r["key"]): (int(r["flags"]), float(r["rate"])) for r in one._decisions.rows}


def test_what_is_saved_is_there_after_a_restart_with_the_policy_that_decided(tmp_path: Path) -> None:
    one = memory(tmp_path)
    assert one.observe(found([(1, FAILING, 0.0), (2, BASELINE, 0.1)], 5, policy=one.policy)) == 2
    one.save()
    one.observe(found([(2, FAILING, 0.5), (3, BASELINE, 0.1)], 9, policy=one.policy))
    one.save()
    again = memory(tmp_path, policy="p2", read_before=10, mark=one.mark)
    assert known(again) == {1: (FAILING, 0.0), 2: (FAILING | BASELINE, 0.5), 3: (BASELINE, 0.1)}
    again.observe(found([(1, EARLY, 0.0), (4, FAILING, 0.0)], 11, policy=again.policy))
    again.save()
    third = memory(tmp_path, policy="p2", read_before=12, mark=again.mark)
    assert third.status()["by_policy"] == {"p1": 3, "p2": 1}
    assert third.forgotten_through == -1


def test_what_is_not_saved_is_not_there(tmp_path: Path) -> None:
    memory(tmp_path).observe(found([(1, FAILING, 0.0)], 5))
    assert known(memory(tmp_path)) == {}


@pytest.mark.parametrize("room", [0, 1000])
@pytest.mark.parametrize("cut", [3, 5, 20])
def test_a_torn_end_costs_what_was_not_confirmed(tmp_path: Path, cut: int, room: int) -> None:
    one = memory(tmp_path)
    for key in (1, 2):
        one.observe(found([(key, FAILING, 0.0)], key))
        one.save()
    path = tmp_path / "decisions"
    path.write_bytes(path.read_bytes()[: one.status()["file_bytes"] - cut] + bytes(room))
    again = memory(tmp_path, read_before=2, mark=one.mark - 1)
    assert known(again) == {1: (FAILING, 0.0)}
    assert again.forgotten_through == -1
    assert not (tmp_path / "decisions.bad").exists()


@pytest.mark.parametrize("room", [0, 1000])
@pytest.mark.parametrize("cut", [0, 5, 20])
def test_an_end_that_was_confirmed_and_is_gone_is_no_torn_one(tmp_path: Path, cut: int, room: int) -> None:
    one = memory(tmp_path)
    ends = []
    for key in (1, 2):
        one.observe(found([(key, FAILING, 0.0)], key))
        one.save()
        ends.append(one.status()["file_bytes"])
    path = tmp_path / "decisions"
    path.write_bytes(path.read_bytes()[: ends[1] - cut if cut else ends[0]] + bytes(room))
    again = memory(tmp_path, read_before=3, mark=one.mark)
    assert known(again) == {1: (FAILING, 0.0)}
    assert again.forgotten_through == 2
    assert (tmp_path / "decisions.bad").exists()
    assert memory(tmp_path, read_before=3, mark=again.mark).forgotten_through == 2


def test_numbers_go_on_through_rewrites_restarts_and_losses(tmp_path: Path) -> None:
    """A crash between a rewrite and the next confirmation is no loss, and no later file is taken for an older one."""
    one = memory(tmp_path)
    confirmed = one.mark
    for sequence in range(150):
        one.observe(found([(sequence * 1000 + i, FAILING, 0.0) for i in range(300)], sequence))
        one.save()
        assert one.mark > confirmed
        confirmed = one.mark
    again = memory(tmp_path, read_before=150, mark=confirmed)
    assert again.mark > confirmed
    third = memory(tmp_path, read_before=150, mark=confirmed)
    assert third.mark > again.mark
    assert not (tmp_path / "decisions.bad").exists()
    (tmp_path / "decisions").unlink()
    assert memory(tmp_path, read_before=150, mark=third.mark).mark > third.mark


def test_up_to_where_it_forgot_is_known_after_a_restart_but_of_nothing_that_is_read_again(tmp_path: Path) -> None:
    one = memory(tmp_path, most=2)
    for key in range(1, 6):
        one.observe(found([(key, FAILING, 0.0)], key))
        one.save()
    assert one.forgotten_through == 3
    assert memory(tmp_path, most=2, read_before=6, mark=one.mark).forgotten_through == 3
    assert memory(tmp_path, most=2, read_before=3, mark=one.mark).forgotten_through == 2


def test_damage_in_the_middle_is_told_and_what_waits_counts_as_undecided(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = memory(tmp_path)
    for key in (1, 2, 3):
        one.observe(found([(key, FAILING, 0.0)], key))
        one.save()
    path = tmp_path / "decisions"
    data = bytearray(path.read_bytes())
    data[one.status()["file_bytes"] // 2] ^= 1
    path.write_bytes(data)
    again = memory(tmp_path, read_before=9, mark=one.mark - 2)  # what stands behind says it, though no cursor does
    assert 3 not in known(again)
    assert again.forgotten_through == 8
    assert "decisions.bad" in caplog.text
    assert (tmp_path / "decisions.bad").read_bytes() == bytes(data)


def test_a_file_that_is_gone_leaves_what_was_read_undecided_but_a_new_journal_is_no_loss(tmp_path: Path) -> None:
    assert memory(tmp_path).forgotten_through == -1
    (tmp_path / "decisions").unlink()
    assert memory(tmp_path, read_before=4).forgotten_through == 3


class FullDisk(Fs):
    """Writes half of what it is given, then says that the disk is full, so many times."""

    faults = 0

    def write(self, fd: int, pieces: Any, offset: int) -> None:
        if self.faults:
            self.faults -= 1
            data = b"".join(bytes(p) for p in pieces)
            super().write(fd, (data[: len(data) // 2],), offset)
            raise OSError(errno.ENOSPC, "no space left on device")
        super().write(fd, pieces, offset)


def test_a_full_disk_loses_nothing_that_is_saved_later(tmp_path: Path) -> None:
    fs = FullDisk()
    one = memory(tmp_path, fs=fs)
    for key in (1, 2, 3):
        one.observe(found([(key, FAILING, 0.0)], key))
        if key == 2:
            fs.faults = 2
            for _ in range(2):
                with pytest.raises(OSError, match="no space"):
                    one.save()
        one.save()
    assert sorted(known(memory(tmp_path, read_before=4, mark=one.mark))) == [1, 2, 3]
    assert not (tmp_path / "decisions.bad").exists()


def test_decisions_need_no_room_that_the_file_does_not_have(tmp_path: Path) -> None:
    one = memory(tmp_path)
    before = (tmp_path / "decisions").stat().st_size
    for key in range(50):
        one.observe(found([(key, FAILING, 0.0)], key))
        one.save()
    assert (tmp_path / "decisions").stat().st_size == before
    assert len(known(memory(tmp_path))) == 50


def test_the_file_is_rewritten_when_it_has_grown(tmp_path: Path) -> None:
    one = memory(tmp_path, most=1000)
    sizes = []
    for sequence in range(150):
        one.observe(found([(sequence % 7 * 1000 + i, FAILING, 0.0) for i in range(300)], sequence))
        one.save()
        sizes.append(one.status()["file_bytes"])
    assert max(sizes) <= 1 << 20
    assert any(a > b for a, b in itertools.pairwise(sizes))
    latest = {int(r["key"]) for r in one._decisions.rows if r["last"] >= 147}
    assert len(latest) == 900
    assert latest <= known(memory(tmp_path, most=1000)).keys()


def test_a_remembered_trace_takes_27_bytes(tmp_path: Path) -> None:
    assert FACT.itemsize == 27
    one = memory(tmp_path, most=1000)
    one.observe(found([(i, FAILING, 0.0) for i in range(5000)], 1))
    assert one._decisions.rows.nbytes == 27_000
