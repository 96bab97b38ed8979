"""The HTTP interface of the embedded database, asked by clickhouse-connect, plain HTTP and our own connect()."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
import socket
import subprocess
import sys
import threading
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import clickhouse_connect
import lz4.frame
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.extensions.clickhouse_http import clickhouse_http
from collector.extensions.clickhouse_http.request import decode_body
from exporters.clickhouse.connect import connect
from exporters.clickhouse.lock import read_owner
from exporters.clickhouse.migrate import migrate
from schema.component import Context, Extension
from schema.errors import ConfigError, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clickhouse_connect.driver.client import Client

MAX_BODY = 1 << 20
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A running extension."""

    dsn: str
    url: str
    token: str
    port: int


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> int | None:
        code = self.headers.get("x-clickhouse-exception-code")
        return int(code) if code else None


@pytest.fixture(scope="module")
def served(embedded_folder: Path) -> Iterator[Served]:
    dsn = f"chdb://{embedded_folder}?database=served"
    with connect(dsn) as db:
        migrate(db)
    config: dict[str, Any] = {
        "endpoint": "127.0.0.1:0",
        "max_body_bytes": MAX_BODY,
        "max_execution_time_s": 2,
        "concurrency": 2,
    }
    config["max_result_bytes"] = 4 << 20
    with running(dsn, config) as url:
        owner = read_owner(embedded_folder)
        assert owner is not None
        yield Served(dsn, url, owner.token, urlsplit(url).port or 0)


@contextmanager
def running(dsn: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Run the extension in an event loop of its own thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    extension = make(dsn, config)

    def call(what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, loop).result(30)

    try:
        call(extension.start())
        yield extension.url
    finally:
        call(extension.shutdown())
        call(extension.shutdown())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def make(dsn: str, config: Mapping[str, Any]) -> Any:
    made = clickhouse_http(
        clickhouse_http.config.model_validate(config), Context("clickhouse_http", Path("/nonexistent"), dsn=dsn)
    )
    assert isinstance(made, Extension)
    return made


def ask(
    served: Served,
    sql: str | bytes = b"",
    *,
    url: str = "/",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)) as connection:
        body = sql.encode() if isinstance(sql, str) else sql
        connection.request(method, url, body or None, dict(headers or {}))
        reply = connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())


def owner(served: Served) -> dict[str, str]:
    return {"X-ClickHouse-User": "evalgate", "X-ClickHouse-Key": served.token}


@pytest.fixture
def reader(served: Served) -> Iterator[Client]:
    with closing(clickhouse_connect.get_client(host="127.0.0.1", port=served.port)) as client:
        yield client


@pytest.fixture
def writer(served: Served) -> Iterator[Client]:
    with closing(
        clickhouse_connect.get_client(
            host="127.0.0.1", port=served.port, username="evalgate", password=served.token, compress=True
        )
    ) as client:
        yield client


@pytest.fixture
def table(writer: Client) -> Iterator[str]:
    writer.command("CREATE TABLE box (n UInt64, t String) ENGINE = MergeTree ORDER BY n")
    yield "box"
    writer.command("DROP TABLE box SYNC")


def test_clickhouse_connect_shakes_hands_and_reads(reader: Client) -> None:
    assert reader.ping()
    bound = reader.query("SELECT {a:String} AS a, {l:Array(UInt8)} AS l", {"a": "it's \\ \n", "l": [1, 2]})
    assert bound.result_rows == [("it's \\ \n", [1, 2])]
    rows = reader.query("SELECT number AS n, toString(number) AS t FROM numbers(70000)").result_rows
    assert rows[-1] == (69999, "69999")
    assert reader.query_arrow("SELECT count() AS n FROM spans").to_pylist() == [{"n": 0}]
    nothing = reader.query("SELECT * FROM spans")
    assert (nothing.column_names[0], nothing.result_rows) == ("tenant", [])
    assert reader.query_arrow("SELECT name FROM spans").num_rows == 0
    with reader.query_row_block_stream("SELECT number FROM numbers(100000)") as stream:
        assert sum(len(block) for block in stream) == 100_000


def test_clickhouse_connect_without_credentials_only_reads(reader: Client) -> None:
    for sql in ("SELECT * FROM file('/etc/passwd')", "DROP TABLE spans", "SELECT 1; SELECT 2"):
        with pytest.raises(DatabaseError) as caught:
            reader.command(sql)
        assert caught.value.code == 497
    with pytest.raises(DatabaseError, match="INSERT needs credentials"):
        reader.insert("ledger", [["a"]], column_names=["tenant"])


def test_the_token_opens_everything(writer: Client, table: str) -> None:
    writer.insert(table, [[1, "a"], [2, "b\n\0ü"]], column_names=["n", "t"])
    writer.insert_arrow(table, pa.table({"n": pa.array([3], pa.uint64()), "t": ["c"]}))
    writer.raw_insert(table, ["n", "t"], b"4\td\n", fmt="TSV")
    writer.raw_insert(table, ["n", "t"], gzip.compress(b"5\te\n"), fmt="TSV", compression="gzip")
    writer.command(f"INSERT INTO {table} VALUES (6, 'f;g')")
    rows = writer.query(f"SELECT n, t FROM {table} ORDER BY n").result_rows
    assert rows == [(1, "a"), (2, "b\n\0ü"), (3, "c"), (4, "d"), (5, "e"), (6, "f;g")]
    assert writer.command("SELECT 1") == 1


def test_an_insert_of_many_rows_in_each_format_arrives(writer: Client, table: str) -> None:
    many = [[i, f"row {i} 'x' \\ \t"] for i in range(20_000)]
    writer.insert(table, many, column_names=["n", "t"])
    assert writer.query(f"SELECT count(), sum(n), uniqExact(t) FROM {table}").result_rows == [
        (20_000, sum(range(20_000)), 20_000)
    ]


@pytest.mark.parametrize("number", [0x0A0A, 0x3B3B, 0x0A3B0A])
def test_data_that_look_like_the_end_of_a_statement_are_data(writer: Client, table: str, number: int) -> None:
    text = "a\n\n;\nINSERT INTO x FORMAT TSV\n\n"
    writer.insert(table, [[number, text]] * 3, column_names=["n", "t"])
    escaped = text.replace("\n", "\\n")
    writer.raw_insert(table, ["n", "t"], f"{number}\t{escaped}\n".encode() * 3, fmt="TSV")
    writer.command(f"INSERT INTO {table} (n, t) VALUES ({number}, '{text}'),\n\n({number}, '{text}')")
    writer.command(f"INSERT INTO {table} SELECT {number}, '{escaped}'")
    assert writer.query(f"SELECT n, t, count() FROM {table} GROUP BY n, t").result_rows == [(number, text, 9)]


def test_broken_data_of_an_insert_are_an_error(writer: Client, table: str) -> None:
    for data in (b"1\ta\n\n2\tb\n", b"x\ty\n", b"1\n"):
        with pytest.raises(DatabaseError) as caught:
            writer.raw_insert(table, ["n", "t"], data, fmt="TSV")
        assert caught.value.code == 27
    assert writer.query(f"SELECT count() FROM {table}").result_rows == [(0,)]


def test_connect_in_another_process_goes_through_the_owner(served: Served) -> None:
    code = f"""
from datetime import UTC, datetime
import pyarrow as pa
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
with connect({served.dsn!r}) as db:
    assert not db.embedded and "open in process" in db.url and {served.token!r} not in db.url
    assert migrate(db) == []
    assert db.rows("SELECT {{x:String}} AS x", {{"x": "it's"}}) == [{{"x": "it's"}}]
    assert db.rows("SELECT currentDatabase() AS d") == [{{"d": "served"}}]
    row = {{"tenant": "p", "minute": datetime(2026, 3, 1, tzinfo=UTC), "signal": "s", "state": "stored", "reason": ""}}
    db.insert_rows("ledger", [{{**row, "count": 2}}])
    minute, count = pa.array([0], pa.timestamp("s", "UTC")), pa.array([5], pa.uint64())
    block = pa.table({{"tenant": ["p"], "minute": minute, "count": count}})
    for _ in range(3):
        db.insert_arrow("ledger", block, "t1")
    assert db.rows("SELECT sum(count) AS n FROM ledger WHERE tenant = 'p'") == [{{"n": 7}}]
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_connect_in_the_same_process_opens_the_engine_itself(served: Served) -> None:
    with connect(served.dsn) as db:
        assert db.embedded


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_query_may_stand_in_the_url(served: Served, method: str) -> None:
    reply = ask(served, url="/?query=SELECT%201%20AS%20x%20FORMAT%20JSON", method=method)
    assert (reply.status, json.loads(reply.body)["data"]) == (200, [{"x": 1}])
    assert reply.headers["x-clickhouse-format"] == "JSON"
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"
    assert json.loads(reply.headers["x-clickhouse-summary"])["read_rows"] == "1"


def test_formats_parameters_settings_and_database_come_from_the_url(served: Served) -> None:
    assert ask(served, "SELECT 1, 'a'").body == b"1\ta\n"
    assert ask(served, "SELECT 1, 'a'", url="/?default_format=CSV").body == b'1,"a"\n'
    assert ask(served, "SELECT 1, 'a'", headers={"X-ClickHouse-Format": "CSV"}).body == b'1,"a"\n'
    assert ask(served, "SELECT {x:String}", url="/?param_x=a%27b").body == b"a\\'b\n"
    zone = "/?session_timezone=Asia/Tokyo"
    assert ask(served, "SELECT toHour(toDateTime('2026-01-01 00:00:00', 'UTC')::DateTime)", url=zone).status == 200
    assert ask(served, "SELECT timezone()", url=zone).body == b"Asia/Tokyo\n"
    assert ask(served, "SELECT currentDatabase()", url="/?database=system").body == b"system\n"
    assert ask(served, "SELECT currentDatabase()", url="/?database=default").body == b"served\n"
    assert ask(served, "SELECT timezone(), currentDatabase()").body.endswith(b"served\n")


def test_a_statement_in_the_url_goes_on_in_the_body(served: Served, writer: Client, table: str) -> None:
    url = f"/?query={quote(f'INSERT INTO {table} FORMAT JSONEachRow')}"
    assert ask(served, '{"n": 1, "t": "FORMAT TSV\\n"}\n', url=url, headers=owner(served)).status == 200
    body = b"INSERT INTO " + table.encode() + b" (n, t) FORMAT RowBinary\n" + b"\x02" + b"\0" * 7 + b"\x02\xff\xfe"
    assert ask(served, body, headers=owner(served)).status == 200
    assert writer.query(f"SELECT n, hex(t) FROM {table} ORDER BY n").result_rows == [
        (1, b"FORMAT TSV\n".hex().upper()),
        (2, "FFFE"),
    ]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "lz4"])
def test_answers_are_compressed_as_asked(served: Served, coding: str) -> None:
    undo = {"gzip": gzip.decompress, "deflate": zlib.decompress, "lz4": lz4.frame.decompress}[coding]
    sql = "SELECT 'again and again' FROM numbers(1000)"
    plain = ask(served, sql, headers={"Accept-Encoding": coding})
    packed = ask(served, sql, url="/?enable_http_compression=1", headers={"Accept-Encoding": f"zz, {coding}"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == coding
    assert undo(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)


@pytest.mark.parametrize("path", ["/ping", "/replicas_status", "/"])
def test_it_says_that_it_is_there(served: Served, path: str) -> None:
    assert ask(served, url=path, method="GET").body == b"Ok.\n"
    assert ask(served, url=path, method="HEAD").status == 200


def test_errors_carry_clickhouses_code_and_words(served: Served) -> None:
    unknown = ask(served, "SELECT * FROM nonesuch")
    assert (unknown.status, unknown.code) == (404, 60)
    assert unknown.body.startswith(b"Code: 60. DB::Exception: ")
    assert (ask(served, "SELECT nonesuch").status, ask(served, "SELECT 1 +").code) == (404, 497)
    assert ask(served, "SELECT throwIf(1)").code == 395
    assert ask(served, "SELECT 1", url="/play").status == 404
    assert ask(served, "SELECT 1", method="PUT").headers["allow"] == "GET, HEAD, POST"
    assert ask(served, b"SELECT '\xff'").code == 62


FORM = {"Content-Type": "multipart/form-data; boundary=cut"}


def form(query: str, *, file: bool = False, **parameters: str) -> bytes:
    """Return a form as clients send one whose parameters are too long for an address."""
    parts = [("query", query), *((f"param_{name}", value) for name, value in parameters.items())]
    more = '; filename="t"' if file else ""
    head = 'Content-Disposition: form-data; name="{}"{}'
    body = "".join(f"--cut\r\n{head.format(name, more)}\r\n\r\n{value}\r\n" for name, value in parts)
    return f"{body}--cut--\r\n".encode()


def test_long_parameters_come_as_a_form(served: Served) -> None:
    ids = "[" + ",".join(f"'{n:032x}'" for n in range(500)) + "]"
    body = form("SELECT length({ids:Array(String)}), {said:String}", ids=ids, said="a --cut é")
    assert ask(served, body, headers=FORM).body.decode() == "500\ta --cut é\n"


@pytest.mark.parametrize(
    "body", [b"SELECT 1", b"x--cut--", form("SELECT 1")[:-9], form("SELECT 1").replace(b"query", b"readonly")]
)
def test_what_is_no_form_of_a_statement_is_refused(served: Served, body: bytes) -> None:
    assert ask(served, body, headers=FORM).status == 400


def test_what_is_not_spoken_here_says_so(served: Served) -> None:
    assert ask(served, "SELECT 1", url="/?compress=1").status == 415
    assert ask(served, form("SELECT 1", file=True), headers=FORM).status == 415
    assert ask(served, "SELECT 1", headers={"Content-Encoding": "br"}).status == 415
    assert ask(served, "SELECT 1", url="/?default_format=a%27b").status == 400


def test_get_only_reads_even_with_the_token(served: Served) -> None:
    reply = ask(
        served, url="/?query=CREATE%20TABLE%20x%20(a%20Int8)%20ENGINE%3DMemory", method="GET", headers=owner(served)
    )
    assert (reply.status, reply.code) == (403, 497)


def test_wrong_credentials_are_refused(served: Served) -> None:
    def basic(text: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    wrong = [
        basic("evalgate:nonsense"),
        basic("default:x"),
        basic("admin:"),
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Digest x"},
        {"X-ClickHouse-User": "evalgate"},
        {"X-ClickHouse-User": "evalgate", "X-ClickHouse-Key": "ü"},
    ]
    for headers in wrong:
        reply = ask(served, "SELECT 1", headers={k: v.encode().decode("latin-1") for k, v in headers.items()})
        assert (reply.status, reply.code) == (403, 516), headers
    assert ask(served, "SELECT 1", url="/?user=evalgate&password=x").code == 516
    everything = "SELECT count() > 0 FROM system.processes"
    for right in (basic(f"evalgate:{served.token}"), {"Authorization": f"Bearer {served.token}"}, owner(served)):
        assert ask(served, everything, headers=right).body == b"1\n"
    assert ask(served, everything, url=f"/?user=evalgate&password={served.token}").body == b"1\n"
    assert ask(served, "SELECT 1", headers=basic("default:")).body == b"1\n"


def test_web_pages_of_other_sites_are_refused_even_with_the_token(served: Served) -> None:
    foreign: list[dict[str, str]] = [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{served.port}"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    for headers in foreign:
        for path in ("/", "/ping"):
            reply = ask(served, "SELECT 1", url=path, headers={**owner(served), **headers})
            assert reply.status == 403, headers
            assert "access-control-allow-origin" not in reply.headers
    for headers in (
        {"Host": f"localhost:{served.port}"},
        {"Host": f"[::1]:{served.port}"},
        {"Host": f"127.0.0.1:{served.port}", "Origin": f"http://127.0.0.1:{served.port}"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert ask(served, "SELECT 1", headers=headers).status == 200, headers


def test_bodies_results_and_time_are_bounded(served: Served) -> None:
    assert ask(served, b"SELECT '" + b"x" * MAX_BODY + b"'").status == 413
    bomb = gzip.compress(b"SELECT 1" + b" " * (2 * MAX_BODY))
    assert ask(served, bomb, headers={"Content-Encoding": "gzip"}).status == 413
    slow = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"
    assert (ask(served, slow).status, ask(served, slow, url="/?max_execution_time=600").code) == (408, 159)
    assert ask(served, "SELECT number FROM numbers(1000000)").code == 396


def test_what_is_left_of_a_statement_without_its_format_is_checked_too(served: Served) -> None:
    """FORMAT takes the end of the comment along: the quote becomes a comment, and the text becomes SQL."""
    hidden = "UNION ALL SELECT toUInt64(throwIf(notEmpty(name))) FROM system.users --"
    sql = "SELECT number FROM numbers(0) -- FORMAT\nNative SETTINGS count_distinct_implementation = 'x\n"
    reply = ask(served, f"{sql}{hidden}'", url="/?default_format=Native")
    assert (reply.status, reply.code) == (403, 497), reply.body
    assert b"system.users" in reply.body
    assert ask(served, "SELECT number FROM numbers(0) FORMAT Native").body.startswith(b"\x01\x00\x06number")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "lz4"])
def test_a_request_body_is_inflated_up_to_its_limit_and_whole(coding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress}[coding]
    assert decode_body(pack(b"x" * 1000), coding, 1000) == b"x" * 1000
    with pytest.raises(Refused) as large:
        decode_body(pack(b"x" * 1001), coding, 1000)
    assert large.value.reason is Reason.TOO_LARGE
    for broken in (pack(b"x" * 1000)[:-5], b"nonsense"):
        with pytest.raises(Refused) as bad:
            decode_body(broken, coding, 1000)
        assert bad.value.reason is Reason.BAD_DATA


def test_a_body_of_many_frames_is_refused_before_they_are_read() -> None:
    """Each frame costs a copy of what follows it."""
    one = lz4.frame.compress(b"x")
    assert decode_body(one * 64, "lz4", 1000) == b"x" * 64
    with pytest.raises(Refused, match="more than 64 lz4 frames"):
        decode_body(one * 65, "lz4", 1000)


def test_concurrent_readers_get_their_own_answers(served: Served) -> None:
    answers: dict[int, bytes] = {}

    def work(n: int) -> None:
        answers[n] = ask(served, f"SELECT {n} FROM numbers(3)", url=f"/?max_block_size={n + 1}").body

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == {n: f"{n}\n".encode() * 3 for n in range(12)}


def test_a_taken_port_is_named_with_the_option(embedded_dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        extension = make(embedded_dsn, {"endpoint": f"127.0.0.1:{port}"})
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}.*extensions\.clickhouse_http\.endpoint"):
            asyncio.run(extension.start())


@pytest.mark.parametrize("endpoint", ["127.0.0.1", "127.0.0.1:x", ":8123", "127.0.0.1:99999"])
def test_an_endpoint_is_host_and_port(embedded_dsn: str, endpoint: str) -> None:
    with pytest.raises(ConfigError, match="is not host:port"):
        make(embedded_dsn, {"endpoint": endpoint})


def test_beyond_loopback_it_must_be_told_so(embedded_dsn: str) -> None:
    with pytest.raises(ConfigError, match="insecure: true"):
        make(embedded_dsn, {"endpoint": "0.0.0.0:0"})
    make(embedded_dsn, {"endpoint": "0.0.0.0:0", "insecure": True})


def test_the_url_comes_into_the_lock_file_and_leaves_it_with_the_service(tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from exporters.clickhouse.connect import connect
from exporters.clickhouse.lock import read_owner
from tests.clickhouse.test_http import make
async def main():
    extension = make("chdb://{tmp_path}/db", {{"endpoint": "127.0.0.1:0"}})
    with connect("chdb://{tmp_path}/db") as db:
        assert read_owner(Path("{tmp_path}/db")).url is None
        await extension.start()
        assert read_owner(Path("{tmp_path}/db")).url == extension.url
        await extension.shutdown()
        assert read_owner(Path("{tmp_path}/db")).url is None
        assert db.rows("SELECT 1 AS x") == [{{"x": 1}}]
    await extension.start()
    await extension.shutdown()
    assert read_owner(Path("{tmp_path}/db")) is None
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_with_a_server_it_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    extension = make("http://user:hush@db.example:8123/x", {})
    asyncio.run(extension.start())
    asyncio.run(extension.shutdown())
    assert extension.url is None
    assert "nothing to do" in caplog.text
    assert "hush" not in caplog.text
