"""`journal status|verify|export`, `quarantine list|show|replay|purge`: beside a collector that runs and without one."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from collector import app
from collector.journal import Journal, JournalOptions
from collector.journal.export import records
from collector.journal.fs import Fs
from collector.journal.layout import HEADER_BYTES, RECORD_BYTES, TRAILER_BYTES
from collector.journal.verify import verify
from tests.collector.conftest import logs_request, spans_request
from tests.faults.harness import until
from tests.journal.conftest import READER
from tests.journal.disk import UnsyncedFs
from tests.journal.test_journal import bodies_left, go

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODIES = [spans_request(1, 2), spans_request(3), logs_request("said the secret word")]
MEMBERS = [2, 1, 1]


class Cli:
    def __init__(self, directory: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        self.directory = directory
        self.capture = capsysbinary

    def __call__(self, *arguments: str, code: int = 0) -> bytes:
        found = app.run([*arguments, "--directory", str(self.directory)])
        out, err = self.capture.readouterr()
        self.err = err.decode()
        assert found == code, self.err
        return out

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, code=code))


@pytest.fixture
def cli(options: JournalOptions, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    return Cli(options.directory, capsysbinary)


async def fill(journal: Journal) -> None:
    for body, members, tenant in zip(BODIES, MEMBERS, ("acme", "other", "acme"), strict=True):
        signal: Any = "logs" if body is BODIES[2] else "traces"
        await journal.append(tenant, signal, body, encoding="protobuf", gzip=False, members=members)


async def set_aside(journal: Journal) -> None:
    batch = await journal.reader(READER).next_batch()
    assert batch is not None
    await journal.reader(READER).quarantine(batch.records, "the database said no", word="rejected")
    await journal.reader(READER).confirm(batch)


async def filled(options: JournalOptions, *, aside: bool = False) -> None:
    journal = await Journal.open(options)
    await fill(journal)
    if aside:
        await set_aside(journal)
    await journal.close()


@contextmanager
def running(options: JournalOptions) -> Iterator[Journal]:
    """Own the journal in a thread, with three requests in quarantine."""
    ready, stop, loops = threading.Event(), asyncio.Event(), []
    journals: list[Journal] = []

    async def own() -> None:
        journal = await Journal.open(options)
        await fill(journal)
        await set_aside(journal)
        journals.append(journal)
        loops.append(asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        await journal.close()

    thread = threading.Thread(target=asyncio.run, args=(own(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield journals[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)


def segment(options: JournalOptions) -> Path:
    (path,) = options.directory.glob("*.seg")
    return path


def test_a_whole_journal_is_whole(options: JournalOptions, cli: Cli) -> None:
    go(filled(options))
    found = cli.json("journal", "verify", "--json")
    assert (found["whole"], found["records"], found["members"], found["segments"]) == (True, 3, 4, 1)
    assert b"whole" in cli("journal", "verify")


@pytest.mark.parametrize("place", ["header", "record", "trailer", "cursor", "journal", "quarantine"])
def test_what_is_damaged_is_named(options: JournalOptions, cli: Cli, place: str) -> None:
    go(filled(options))
    path, at = segment(options), 20
    if place == "record":
        at = HEADER_BYTES + RECORD_BYTES + len("acme") + len(BODIES[0]) + RECORD_BYTES + 10  # in the second
    elif place == "trailer":
        names = len("acme" + "other" + "acme")
        at = HEADER_BYTES + 3 * RECORD_BYTES + names + sum(map(len, BODIES)) + TRAILER_BYTES - 5
    elif place in ("cursor", "journal"):
        path, at = options.directory / ("delivery.cursor" if place == "cursor" else "journal"), 30
    elif place == "quarantine":
        go(filled(options, aside=True))
        (path,) = options.directory.glob("quarantine/*.seg")
        at = 200
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    found = cli.json("journal", "verify", "--json", code=1)
    (finding,) = found["findings"]
    assert finding["file"].endswith(path.name)
    if place == "record":
        assert finding["offset"] < at < finding["end"]
        assert (finding["first_sequence"], finding["last_sequence"]) == (2, 2)
    if place == "trailer":
        assert "byte" in str(cli("journal", "verify", code=1))


def test_a_missing_segment_is_named_with_its_sequences(options: JournalOptions, cli: Cli) -> None:
    async def work() -> None:
        journal = await Journal.open(options)
        for _ in range(12):
            await journal.append("t", "traces", bytes(50_000), encoding="protobuf", gzip=False, members=1)
        await journal.close()

    go(work())
    sorted(options.directory.glob("*.seg"))[1].unlink()
    (finding,) = cli.json("journal", "verify", "--json", code=1)["findings"]
    assert (finding["first_sequence"], finding["last_sequence"]) == (6, 10)


def test_verify_and_status_work_beside_the_owner(options: JournalOptions, cli: Cli) -> None:
    with running(options):
        assert cli.json("journal", "verify", "--json")["records"] == 3
        assert b"in use by   process" in cli("journal", "status")
        assert cli.json("journal", "status", "--json")["readers"][READER]["backlog_records"] == 0


def test_verify_and_export_find_no_damage_in_what_is_written_over_meanwhile(options: JournalOptions) -> None:
    """The owner goes through its segments again and again, while others read them."""
    stop = threading.Event()
    turns: list[int] = []

    async def turn_over() -> None:
        journal = await Journal.open(options, fs=UnsyncedFs())
        while not stop.is_set():
            turns.append(await journal.append("t", "traces", bytes(50_000), encoding="json", gzip=False, members=1))
            batch = await journal.reader(READER).next_batch()
            assert batch is not None
            if len(turns) % 7 == 0:
                await journal.reader(READER).confirm(batch)
        await journal.close()

    thread = threading.Thread(target=asyncio.run, args=(turn_over(),))
    thread.start()
    try:
        until(lambda: turns, "it runs")
        while len(turns) < 120:
            assert verify(Fs(), options.directory).findings == []
            damage: list[str] = []
            list(records(Fs(), options.directory, on_damage=damage.append))
            assert all("meanwhile" in what for what in damage), damage
    finally:
        stop.set()
        thread.join(20)


def test_export_gives_what_was_sent_in_either_encoding(options: JournalOptions, cli: Cli, tmp_path: Path) -> None:
    go(filled(options))
    lines = cli("journal", "export").splitlines()
    assert len(lines) == 3
    span = json.loads(lines[0])["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert len(span["traceId"]) == 32
    assert len(span["spanId"]) == 16
    assert bytes.fromhex(span["spanId"]) in BODIES[0]
    framed, expected = cli("journal", "export", "--format", "otlp-protobuf"), b""
    for body in BODIES:
        expected += len(body).to_bytes(4, "big") + body
    assert framed == expected
    cli("journal", "export", "--format", "otlp-protobuf", "--output", str(tmp_path / "out"))
    files = sorted((tmp_path / "out").iterdir())
    assert [p.read_bytes() for p in files] == BODIES
    assert [p.name.split(".", 1)[1] for p in files] == ["traces.pb", "traces.pb", "logs.pb"]


def test_export_takes_a_range_and_a_tenant(options: JournalOptions, cli: Cli) -> None:
    go(filled(options))
    assert len(cli("journal", "export", "--from", "2").splitlines()) == 2
    assert len(cli("journal", "export", "--to", "2").splitlines()) == 2
    assert len(cli("journal", "export", "--tenant", "acme").splitlines()) == 2
    assert len(cli("journal", "export", "--tenant", "acme", "--from", "2").splitlines()) == 1
    cli("journal", "export", "--format", "csv", code=2)


def test_export_steps_over_damage_and_says_so(options: JournalOptions, cli: Cli) -> None:
    go(filled(options))
    data = bytearray(segment(options).read_bytes())
    data[HEADER_BYTES + 40] ^= 1
    segment(options).write_bytes(data)
    assert len(cli("journal", "export", code=1).splitlines()) == 2
    assert f"{segment(options).name} at byte {HEADER_BYTES}: the record fails its checksum" in cli.err


def test_quarantine_is_listed_and_content_shown_only_when_asked_for(options: JournalOptions, cli: Cli) -> None:
    assert cli("quarantine", "list", code=2) == b""
    go(filled(options, aside=True))
    (row,) = cli.json("quarantine", "list", "--json")
    assert (row["records"], row["members"], row["tenants"]) == (3, 4, ["acme", "other"])
    text = cli("quarantine", "list").decode()
    assert row["id"] in text
    assert "the database said no" in text
    shown = cli("quarantine", "show", row["id"]).decode()
    assert "secret" not in text + shown
    assert [r["members"] for r in json.loads(shown)["requests"]] == MEMBERS
    assert "secret" in cli("quarantine", "show", row["id"], "--content").decode()
    cli("quarantine", "show", "0-0", code=2)
    assert "quarantine list" in cli.err


def test_a_replay_without_a_collector_waits_for_the_next_start(options: JournalOptions, cli: Cli) -> None:
    go(filled(options, aside=True))
    (row,) = cli.json("quarantine", "list", "--json")
    assert b"replayed" in cli("quarantine", "replay", row["id"])
    assert b"Nothing is in quarantine" in cli("quarantine", "list")
    assert go(bodies_left(options)) == BODIES
    cli("quarantine", "replay", row["id"], code=2)


def test_a_replay_beside_a_collector_is_done_by_it(options: JournalOptions, cli: Cli) -> None:
    with running(options) as journal:
        (row,) = cli.json("quarantine", "list", "--json")
        assert cli.json("quarantine", "replay", "--all", "--json") == [{"id": row["id"], "ok": True, "requests": 3}]
        assert journal.status()["backlog_records"] == 3
        assert cli.json("quarantine", "replay", "--all", "--json") == []
    assert go(bodies_left(options)) == BODIES


def test_a_purge_asks_first(options: JournalOptions, cli: Cli) -> None:
    go(filled(options, aside=True))
    (row,) = cli.json("quarantine", "list", "--json")
    cli("quarantine", "purge", row["id"], code=2)
    assert "3 requests with 4 spans and log records would be removed for good; add --yes" in cli.err
    cli("quarantine", "purge", code=2)
    cli("quarantine", "purge", "--older-than", "yesterday", code=2)
    assert b"Nothing to do" in cli("quarantine", "purge", "--older-than", "1h", "--yes")
    assert cli.json("quarantine", "list", "--json") == [row]
    assert b"purged" in cli("quarantine", "purge", "--older-than", "0m", "--yes")
    assert cli.json("quarantine", "list", "--json") == []
