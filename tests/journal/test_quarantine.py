"""What is set aside: kept whole, listed, bounded by a budget, replayed or purged by a person, erased where it must."""

from __future__ import annotations

import asyncio
import errno
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from collector.journal import Batch, Journal, JournalOptions, ReaderOptions, Record, requests
from collector.journal.erase import erase_kept
from collector.journal.fs import Fs
from collector.journal.quarantine import Quarantine, find, read_records
from collector.journal.release import purge
from collector.ledger.outbox import Outbox
from schema.errors import ConfigError, Corrupt, Refused, Retryable
from schema.ledger import CRASHED, State
from tests.journal.conftest import NOON_NS, READER, FaultyFs, record
from tests.journal.test_journal import go, put, take

if TYPE_CHECKING:
    from pathlib import Path

    from collector.journal.quarantine import Kept
    from schema.ledger import Entry


def kept_in(options: JournalOptions) -> list[Kept]:
    return find(options.directory / "quarantine")


async def append(journal: Journal, tenant: str, body: bytes, members: int = 1) -> int:
    return await journal.append(tenant, "logs", body, encoding="json", gzip=True, members=members)


async def set_aside(journal: Journal, reader: str = READER, word: str | None = CRASHED) -> None:
    """Put the next batch of a reader into quarantine."""
    batch = await journal.reader(reader).next_batch()
    assert batch is not None
    await journal.reader(reader).quarantine(batch.records, "it said no", word=word)
    await journal.reader(reader).confirm(batch)


def booked(options: JournalOptions) -> dict[str, list[Entry]]:
    outbox = Outbox(options.directory)
    return {token: list(outbox.entries(token) or ()) for token in outbox.waiting()}


def test_what_is_kept_is_listed_with_what_is_in_it(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options, now_unix_ns=lambda: NOON_NS)
        await append(journal, "acme", b"12345", members=7)
        await append(journal, "other", b"123", members=2)
        await set_aside(journal)
        await journal.close()

    go(work())
    (kept,) = kept_in(options)
    row = kept.as_row()
    assert (row["kind"], row["reason"], row["reader"]) == ("records", "it said no", READER)
    assert (row["records"], row["members"], row["tenants"]) == (2, 9, ["acme", "other"])
    assert (row["first_sequence"], row["last_sequence"], row["at_unix_ns"]) == (1, 2, NOON_NS)
    assert kept.tenants["acme"] == {"records": 1, "members": 7, "bytes": 5}
    assert kept.path is not None
    assert [r.body for r in read_records(Fs(), kept.path)] == [b"12345", b"123"]


def test_records_that_were_set_aside_apart_are_kept_apart(options: JournalOptions, fs: FaultyFs) -> None:
    options.directory.mkdir()
    quarantine = Quarantine(fs, options.directory, bytes(16))
    halves = [record(5, b"first half"), record(5, b"second half")]
    for reader in ("a", "b"):
        for half in halves * 2:
            quarantine.keep_records([half], reader=reader, reason="no", at_unix_ns=1)
    assert len(kept_in(options)) == 4, "the same again replaces itself, what is different does not"


def test_a_full_quarantine_refuses_who_filled_it_and_nobody_else(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(replace(options, quarantine_max_bytes=20_000))
        await append(journal, "small", b"x")
        await set_aside(journal)
        await append(journal, "flood", bytes(15_000))
        assert not journal.refuses("flood")
        await append(journal, "flood", bytes(15_000))
        await set_aside(journal)
        assert [journal.refuses(t) for t in ("flood", "small", "new")] == [True, False, False]
        with pytest.raises(Refused, match="quarantine is full") as refused:
            await append(journal, "flood", b"more")
        assert refused.value.retry_after_s
        await append(journal, "small", b"goes on")
        await append(journal, "new", b"goes on")
        assert journal.status()["quarantine_bytes"] > 20_000
        await journal.close()
        journal = await Journal.open(replace(options, quarantine_max_bytes=20_000))
        assert journal.refuses("flood"), "a start knows what is there"
        for kept in kept_in(options):
            purge(Fs(), Quarantine(Fs(), options.directory, b""), kept)
        async with asyncio.timeout(10):
            while journal.refuses("flood"):  # noqa: ASYNC110 - the journal looks at the folder now and then
                await asyncio.sleep(0.01)
        await append(journal, "flood", b"again")
        await journal.close()

    go(work())


def test_a_replay_appends_again_as_it_was_received_and_the_ledger_hears(options: JournalOptions) -> None:
    then, now = NOON_NS, NOON_NS + 3 * 86_400 * 10**9
    clock = iter([then] * 2)

    async def work() -> Record:
        journal = await Journal.open(options, now_unix_ns=lambda: next(clock, now))
        await append(journal, "acme", b"poison", members=7)
        await set_aside(journal)
        (kept,) = kept_in(options)
        assert await journal.replay(kept.id) == 1
        assert kept_in(options) == []
        (found,) = (await take(journal)).records
        await journal.close()
        return found

    found = go(work())
    assert found == Record(2, "acme", "logs", "json", gzip=True, received_unix_ns=then, body=b"poison", members=7)
    ((token, (entry,)),) = booked(options).items()
    assert token.startswith("replay-")
    assert (entry.tenant, entry.signal, entry.state, entry.reason) == ("acme", "logs", State.QUARANTINED, CRASHED)
    assert (entry.count, entry.minute) == (-7, then // (60 * 10**9))


def test_a_replay_is_for_the_reader_that_refused_it(options: JournalOptions) -> None:
    two = replace(options, readers=(ReaderOptions("main"), ReaderOptions("tee")))

    async def work() -> None:
        journal = await Journal.open(two)
        await append(journal, "acme", b"poison")
        await set_aside(journal, "tee", word=None)
        await journal.reader("main").confirm(_whole(await journal.reader("main").next_batch()))
        (kept,) = kept_in(options)
        await journal.replay(kept.id)
        await append(journal, "acme", b"after")
        journal.drain()
        for reader, bodies in (("main", [b"after"]), ("tee", [b"poison", b"after"])):
            batch = _whole(await journal.reader(reader).next_batch())
            assert [r.body for r in batch.records] == bodies
            assert {r.tenant for r in batch.records} == {"acme"}
            await journal.reader(reader).confirm(batch)
        await journal.close()
        assert booked(options) == {}, "the ledger did not count it as quarantined"

    go(work())


def _whole(batch: Batch | None) -> Batch:
    assert batch is not None
    return batch


def test_what_cannot_be_appended_again_stays_in_quarantine(options: JournalOptions, fs: FaultyFs) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await append(journal, "acme", b"poison")
        await set_aside(journal)
        (kept,) = kept_in(options)
        fs.failing["sync"] = errno.EIO
        with pytest.raises(Retryable):
            await journal.replay(kept.id)
        fs.failing.clear()
        assert [k.id for k in kept_in(options)] == [kept.id]
        assert await journal.replay(kept.id) == 1
        with pytest.raises(ConfigError, match="nothing is in quarantine under"):
            await journal.replay(kept.id)
        await journal.close()

    go(work())


def test_a_damaged_file_in_quarantine_is_named_and_stays(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        await append(journal, "acme", b"poison")
        await set_aside(journal)
        (kept,) = kept_in(options)
        assert kept.path is not None
        kept.path.write_bytes(kept.path.read_bytes().replace(b"poison", b"Poison"))
        with pytest.raises(Corrupt, match=kept.path.name):
            await journal.replay(kept.id)
        assert len(kept_in(options)) == 1
        await journal.close()

    go(work())


def test_another_process_asks_the_owner_and_hears_the_answer(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        await append(journal, "acme", b"poison")
        await set_aside(journal)
        (kept,) = kept_in(options)
        good = requests.ask(Fs(), options.directory, "replay", id=kept.id)
        answer = await asyncio.to_thread(requests.wait, good, 10)
        assert answer == {"ok": True, "done": 1}
        bad = requests.ask(Fs(), options.directory, "replay", id="../../etc/passwd")
        answer = await asyncio.to_thread(requests.wait, bad, 10)
        assert answer is not None
        assert not answer["ok"]
        assert "nothing is in quarantine" in answer["message"]
        assert list((options.directory / "requests").iterdir()) == []
        await journal.close()

    go(work())


def test_a_request_that_makes_no_sense_is_left_alone(options: JournalOptions) -> None:
    folder = options.directory / "requests"
    folder.mkdir(parents=True)
    for name, text in (("0" * 16, "{"), ("1" * 16, '{"do": "rm"}'), ("2" * 16, "[]"), ("x", '{"do": "scrub"}')):
        (folder / f"{name}.json").write_text(text)
    assert requests.pending(options.directory) == []


def test_a_purge_is_booked(options: JournalOptions) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        await append(journal, "acme", b"poison", members=3)
        await set_aside(journal)
        await journal.close()

    go(work())
    (kept,) = kept_in(options)
    purge(Fs(), Quarantine(Fs(), options.directory, b""), kept)
    assert kept_in(options) == []
    ((token, entries),) = booked(options).items()
    assert token == f"purge-{kept.id}"
    assert {(e.state, e.count) for e in entries} == {(State.QUARANTINED, -3), (State.PURGED, 3)}


def test_nothing_that_is_delivered_is_left_after_a_scrub(options: JournalOptions) -> None:
    def holders(text: bytes) -> list[str]:
        return [p.name for p in options.directory.rglob("*") if p.is_file() and text in p.read_bytes()]

    async def work() -> None:
        journal = await Journal.open(options)
        for n in range(30):
            await put(journal, b"secret%d:" % n + b"secret" * 8_000)
            await journal.reader(READER).confirm(await take(journal))
        assert len(holders(b"secret")) > 1, "spares and the end of the segment"
        await put(journal, b"waiting and secret")
        answer = await journal.scrub()
        assert (answer["held_from"], answer["next_sequence"]) == (31, 32)
        assert len(holders(b"secret")) == 1, "what waits for delivery has to stay"
        await put(journal, b"behind")
        await journal.reader(READER).confirm(await take(journal))
        assert holders(b"secret") == [], "and is not kept to be written over"
        for _ in range(12):
            await put(journal, bytes(50_000))
            await journal.reader(READER).confirm(await take(journal))
        assert list(options.directory.glob("*.spare")), "what came later is"
        await journal.close()

    go(work())


def test_a_scrub_holds_over_a_restart_and_fails_honestly(options: JournalOptions, fs: FaultyFs) -> None:
    async def work() -> None:
        journal = await Journal.open(options, fs=fs)
        await put(journal, b"secret" * 20_000)
        fs.failing["create"] = errno.ENOSPC
        with pytest.raises(Retryable):
            await journal.scrub()
        fs.failing.clear()
        await journal.scrub()
        await journal.close()
        journal = await Journal.open(options, fs=fs)
        await put(journal, b"next")
        await journal.reader(READER).confirm(await take(journal))
        await put(journal, b"next")
        await journal.reader(READER).confirm(await take(journal))
        assert not any(b"secret" in p.read_bytes() for p in options.directory.rglob("*") if p.is_file())
        await journal.close()

    go(work())


def test_quarantined_records_are_erased_replaced_or_left(options: JournalOptions, fs: FaultyFs) -> None:
    options.directory.mkdir()
    quarantine = Quarantine(fs, options.directory, bytes(16))
    quarantine.keep_records(
        [record(1, b"a"), record(2, b"b"), record(3, b"c")], reader="main", reason="no", word="rejected", at_unix_ns=1
    )
    quarantine.keep_records([record(4, b"a")], reader="main", reason="no", at_unix_ns=1)
    quarantine.keep_records([record(5, b"c")], reader="main", reason="no", at_unix_ns=1)
    quarantine.keep_bytes(b"who knows", segment="s", sequence=9, offset=64, reason="bits", at_unix_ns=1)

    def choose(r: Record) -> Record | None:
        return None if r.body == b"a" else replace(r, body=b"B") if r.body == b"b" else r

    erased = erase_kept(fs, quarantine, choose, at_unix_ns=2)
    assert [(r.sequence, word) for r, word in erased.dropped] == [(1, "rejected"), (4, None)]
    assert [(a.body, b.body) for a, b, _ in erased.replaced] == [(b"b", b"B")]
    assert erased.damaged_files == 1
    left = {tuple(r.body for r in read_records(fs, k.path)) for k in kept_in(options) if k.path}
    assert left == {(b"B", b"c"), (b"c",)}
    assert {json.loads(p.read_text())["reason"] for p in quarantine.folder.glob("*.json")} == {"no"}
    assert quarantine.used_bytes == sum(k.size_bytes for k in kept_in(options))


def test_loss_and_damage_are_listed_and_cannot_be_replayed(options: JournalOptions, fs: FaultyFs) -> None:
    options.directory.mkdir()
    quarantine = Quarantine(fs, options.directory, bytes(16))
    quarantine.note_loss(4, 9, reason="a segment is gone", at_unix_ns=1)
    bad = quarantine.keep_bytes(b"bits", segment="s", sequence=2, offset=64, reason="bits", at_unix_ns=1)
    assert [(k.id, k.kind) for k in kept_in(options)] == [
        ("0000000000000002-64", "damage"),
        ("0000000000000004-0000000000000009", "loss"),
    ]

    async def work() -> None:
        journal = await Journal.open(options)
        for kept in kept_in(options):
            with pytest.raises(ConfigError, match="cannot be replayed"):
                await journal.replay(kept.id)
        await journal.close()

    go(work())
    _without_notes(bad)
    assert "missing" in kept_in(options)[0].as_row()["reason"]


def _without_notes(path: Path) -> None:
    path.with_name(path.name + ".json").unlink()
