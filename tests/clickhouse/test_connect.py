from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from exporters.clickhouse.connect import Database, connect
from exporters.clickhouse.dsn import EmbeddedDsn, ServerDsn, default_dsn, parse_dsn
from exporters.clickhouse.lock import DatabaseLock, lock_path, read_owner
from schema.errors import ConfigError, DatabaseOwned, Permanent, Retryable

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from exporters.clickhouse.lock import DatabaseLock
lock = DatabaseLock.acquire(Path(sys.argv[1]))
if len(sys.argv) > 2:
    lock.publish(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path, *url: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process own the database until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        assert pipe(process.stdout).readline() == "held\n"
        yield process
        process.kill()


def pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("chdb:///a/b", EmbeddedDsn(Path("/a/b"))),
        ("chdb:///a/../b/", EmbeddedDsn(Path("/b"))),
        ("chdb:///a%20b?database=x", EmbeddedDsn(Path("/a b"), "x")),
        ("http://localhost", ServerDsn("localhost", 8123)),
        ("http://127.9.9.9:1", ServerDsn("127.9.9.9", 1)),
        ("http://h", ServerDsn("h", 8123, compression="lz4")),
        ("http://h/db?compression=none", ServerDsn("h", 8123, database="db")),
        ("http://[::1]?compression=lz4", ServerDsn("::1", 8123, compression="lz4")),
        (
            "https://u:p%40@h/db",
            ServerDsn("h", 8443, secure=True, user="u", password="p@", database="db", compression="lz4"),
        ),
        ("http://[::1]:9/db", ServerDsn("::1", 9, database="db")),
    ],
)
def test_a_dsn_is_read(text: str, wanted: EmbeddedDsn | ServerDsn) -> None:
    assert parse_dsn(text) == wanted


WRONG = ("", "/a/b", "chdb://a/b", "chdb:///", "chdb:///a?x=1", "http://", "http://h:x", "http://h/a;b", "ftp://h/x")
WRONG_OPTIONS = ("http://h?x=1", "http://h#x", "http://h?compression=gzip", "http://h?compression")


@pytest.mark.parametrize("text", [*WRONG, *WRONG_OPTIONS])
def test_a_wrong_dsn_says_what_a_right_one_looks_like(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_dsn(text)


def test_a_dsn_never_shows_its_password() -> None:
    dsn = parse_dsn("http://user:hush@h/db")
    assert "hush" not in str(dsn) + repr(dsn)
    with pytest.raises(ConfigError) as caught:
        parse_dsn("http://user:hush@h:port/db")
    assert "hush" not in str(caught.value)


def test_the_default_dsn_is_the_environments_else_in_the_data_directory() -> None:
    assert default_dsn(Path("/x"), {"EVALGATE_DSN": "http://h/db"}) == "http://h/db"
    assert default_dsn(Path("/x"), {}) == "chdb:///x/db"
    assert default_dsn(environment={}) == f"chdb://{Path.cwd()}/.evalgate/data/db"


def test_connections_of_one_process_share_the_ownership_until_the_last_closes(tmp_path: Path) -> None:
    first = DatabaseLock.acquire(tmp_path / "db")
    second = DatabaseLock.acquire(tmp_path / "db")
    first.publish("http://127.0.0.1:1")
    assert second.owner == first.owner
    first.release()
    first.release()
    owner = read_owner(tmp_path / "db")
    assert owner is not None
    assert (owner.pid, owner.url) == (os.getpid(), "http://127.0.0.1:1")
    second.release()
    assert read_owner(tmp_path / "db") is None


def test_a_folder_that_is_made_for_the_lock_is_its_owners_alone(tmp_path: Path) -> None:
    DatabaseLock.acquire(tmp_path / "data/db").release()
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_lock_file_is_for_this_user_alone(tmp_path: Path) -> None:
    lock_path(tmp_path / "db").touch(mode=0o644)
    lock = DatabaseLock.acquire(tmp_path / "db")
    assert stat.S_IMODE(lock_path(tmp_path / "db").stat().st_mode) == 0o600
    assert json.loads(lock_path(tmp_path / "db").read_text())["token"] == lock.owner.token
    assert len(lock.owner.token) >= 40
    assert lock.owner.token not in repr(lock.owner)
    lock.release()


def test_a_database_of_another_process_is_refused_with_its_pid(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "db") as other, pytest.raises(DatabaseOwned, match=f"process {other.pid}") as caught:
        connect(f"chdb://{tmp_path}/db")
    assert (caught.value.pid, caught.value.url) == (other.pid, None)


def test_a_database_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "db", "http://127.0.0.1:1") as other:
        other.kill()
        other.wait()
        lock = DatabaseLock.acquire(tmp_path / "db")
        assert (lock.owner.pid, lock.owner.url) == (os.getpid(), None)
        lock.release()


def test_an_owner_that_serves_but_does_not_answer_is_retryable(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "db", "http://127.0.0.1:1"), pytest.raises(Retryable, match="cannot be reached"):
        connect(f"chdb://{tmp_path}/db")


def test_many_threads_take_and_give_back_the_lock(tmp_path: Path) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                DatabaseLock.acquire(tmp_path / "db").release()
        except BaseException as e:  # noqa: BLE001 - shown by the assertion
            problems.append(e)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert problems == []
    assert read_owner(tmp_path / "db") is None


def test_values_are_bound_by_the_server_whatever_they_hold(db: Database) -> None:
    text = "it's \\ \n\t {x:String} %s ü"
    moment = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
    [row] = db.rows(
        "SELECT {t:String} AS t, {d:DateTime64(6, 'UTC')} AS d, {l:Array(String)} AS l, {n:Nullable(String)} AS n, "
        "{i:Int64} AS i, {f:Float64} AS f, {b:Bool} AS b",
        {"t": text, "d": moment, "l": [text, ""], "n": None, "i": -(2**63), "f": 0.1, "b": True},
    )
    assert row == {"t": text, "d": moment, "l": [text, ""], "n": None, "i": -(2**63), "f": 0.1, "b": True}


def test_a_parameter_without_a_placeholder_is_an_error_not_text(db: Database) -> None:
    with pytest.raises(ValueError, match="placeholder for: x"):
        db.rows("SELECT '%(x)s'", {"x": "pasted"})


def test_rows_and_arrow_agree(db: Database) -> None:
    sql = "SELECT number AS n, toString(number) AS t FROM numbers({k:UInt8})"
    assert db.arrow(sql, {"k": 3}).to_pylist() == db.rows(sql, {"k": 3}) == [{"n": i, "t": str(i)} for i in range(3)]


def test_an_empty_result_is_no_rows(db: Database) -> None:
    assert db.rows("SELECT * FROM spans") == []
    assert db.arrow("SELECT name FROM spans").num_rows == 0


def test_annotations_are_inserted_as_rows_and_an_undo_is_a_row(db: Database) -> None:
    label = {
        "tenant": "default",
        "annotation_id": "a1",
        "created_at": datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC),
        "trace_id": "ab" * 16,
        "span_id": "",
        "verdict": "bad",
        "failure_mode": "loop",
        "corrected_output": None,
        "comment": "it's ümlaut",
        "annotator": "me",
        "severity": "high",
        "anchor": '[{"message": 1}]',
        "queue": "weekly",
        "role": "label",
        "undone": 0,
    }
    db.insert_rows("annotations", [label, {**label, "annotation_id": "a2", "corrected_output": "better"}])
    latest = db.rows("SELECT * EXCEPT tenant FROM annotations_latest ORDER BY annotation_id")
    said = {k: v for k, v in label.items() if k not in ("tenant", "undone")}
    assert latest[0] == {**said, "failure_mode_said": "loop"}
    assert latest[1]["corrected_output"] == "better"
    later = datetime(2026, 3, 1, 13, tzinfo=UTC)
    db.insert_rows("annotations", [{**label, "created_at": later, "undone": 1}])
    assert [r["annotation_id"] for r in db.rows("SELECT annotation_id FROM annotations_latest")] == ["a2"]


def test_a_case_has_the_status_of_its_latest_event_and_the_latest_body(db: Database) -> None:
    def event(at: int, what: str, body: str) -> dict[str, object]:
        moment = datetime(2026, 3, 1, 12, at, tzinfo=UTC)
        common = {"tenant": "default", "case_id": "c1", "actor": "me", "reason": ""}
        return {**common, "at": moment, "event": what, "body": body}

    body = '{"failure_mode":"loop","feature":"refunds","provenance":{"trace_id":"ab"}}'
    db.insert_rows("case_events", [event(1, "created", body)])
    [case] = db.rows("SELECT * FROM cases")
    assert (case["status"], case["failure_mode"], case["feature"], case["trace_id"]) == (
        "quarantined",
        "loop",
        "refunds",
        "ab",
    )
    db.insert_rows("case_events", [event(2, "promoted", "")])
    [case] = db.rows("SELECT status, body, created_at FROM cases")
    created = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    assert case == {"status": "promoted", "body": body, "created_at": created}
    db.insert_rows("case_events", [event(3, "rejected", "")])
    assert db.rows("SELECT status FROM cases") == [{"status": "rejected"}]


@pytest.mark.parametrize("name", ["spans; DROP TABLE spans", "a b", "`x`", "", "1a"])
def test_names_that_are_not_identifiers_are_refused(embedded_db: Database, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        embedded_db.insert_rows(name, [{"a": 1}])
    with pytest.raises(ValueError, match="is not a name"):
        embedded_db.insert_rows("ledger", [{name: 1}])


def test_rows_with_different_columns_are_refused(embedded_db: Database) -> None:
    with pytest.raises(ValueError, match="differ in their columns"):
        embedded_db.insert_rows("ledger", [{"tenant": "a"}, {"tenant": "b", "count": 1}])


def test_an_error_has_clickhouses_words_on_one_line(db: Database) -> None:
    with pytest.raises(Permanent, match="nonesuch") as caught:
        db.rows("SELECT nonesuch\nFROM spans")
    assert "\n" not in str(caught.value)
    assert "version" not in str(caught.value)


def test_a_server_without_the_database_says_how_to_make_it(clickhouse_server: str) -> None:
    with pytest.raises(ConfigError, match="has no database 'nonesuch'"):
        connect(f"{clickhouse_server}/nonesuch")


def test_several_threads_may_use_one_database(db: Database) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(10):
                assert db.rows("SELECT {n:UInt8} AS n", {"n": number}) == [{"n": number}]
        except BaseException as e:  # noqa: BLE001 - shown by the assertion
            problems.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert problems == []
