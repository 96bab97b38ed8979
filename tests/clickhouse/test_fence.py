"""The fence against the real engine: what reads passes unchanged, what does more or reads elsewhere is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exporters.clickhouse.connect import connect
from exporters.clickhouse.dsn import EmbeddedDsn, parse_dsn
from exporters.clickhouse.engine import Engine, EngineError
from exporters.clickhouse.fence import Fence, check_settings
from exporters.clickhouse.migrate import migrate
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READS = """
SELECT 1
SELECT 1;
select count() from spans
(SELECT 1) UNION ALL (SELECT 2)
SELECT version(), timezone()
SELECT displayName(), version(), revision(), timezone()
SELECT name, value, changed, description, type, readonly FROM system.settings LIMIT 10000
SELECT name AS n FROM system.tables WHERE database = currentDatabase()
SELECT * FROM numbers(10)
SELECT * FROM generateSeries(1, 3)
SELECT * FROM values('a UInt8', 1, 2)
SELECT * FROM view(SELECT 1)
WITH x AS (SELECT 1 AS a) SELECT a FROM x
WITH 1 AS x SELECT x
SELECT service_name, quantile(0.9)(duration_ns) FROM spans GROUP BY service_name WITH TOTALS
SELECT span_attributes['gen_ai.system'] AS s, count() FROM spans GROUP BY s ORDER BY count() DESC LIMIT 5
SELECT arrayMap(x -> x + 1, [1, 2]), toDate(now()) - INTERVAL 1 DAY, '5'::UInt8
SELECT t.trace_id FROM traces AS t LEFT JOIN otel_traces AS o ON o.TraceId = t.trace_id
SELECT * FROM spans PREWHERE tenant = 'default' WHERE name LIKE '%chat%' LIMIT 1 BY name
SELECT 1 WHERE 1 IN (SELECT number FROM numbers(2))
SELECT 'file(''/etc/passwd'')' AS harmless
SELECT url, file, remote FROM (SELECT 1 AS url, 2 AS file, 3 AS remote)
SELECT toStartOfInterval(start_time, INTERVAL 10 second) AS t, count() FROM spans GROUP BY t ORDER BY t WITH FILL
SELECT 1 AS x FORMAT JSON
SELECT 1 AS x SETTINGS max_block_size = 10, output_format_json_quote_64bit_integers = 0 FORMAT JSON
SELECT * FROM spans -- a comment
SELECT 1 # UNION ALL SELECT * FROM file('/etc/passwd')
SELECT /* a comment */ events.name FROM spans ARRAY JOIN events
SELECT * FROM information_schema.tables LIMIT 1
SHOW TABLES
SHOW TABLES LIKE 'sp%'
SHOW DATABASES
SHOW CREATE TABLE spans
DESCRIBE TABLE traces
DESC `traces` FORMAT JSON
EXISTS TABLE spans
EXPLAIN SELECT 1
EXPLAIN indexes = 1 SELECT * FROM otel_traces WHERE TraceId = 'ab'
EXPLAIN SYNTAX SELECT 1
""".strip().splitlines()

REFUSED = """
SELECT * FROM file('/etc/passwd')
SELECT * FROM file('/etc/passwd', 'LineAsString')
SELECT * FROM (SELECT * FROM url('http://127.0.0.1/'))
SELECT 1 UNION ALL SELECT * FROM remote('h', 'd.t')
SELECT (SELECT count() FROM s3('x'))
WITH a AS (SELECT * FROM executable('x', 'TSV', 'a String')) SELECT * FROM a
SELECT * FROM python('x')
SELECT * FROM Python(x)
SELECT * FROM merge('system', '.*')
SELECT * FROM cluster('default', system.one)
SELECT * FROM dictionary('x')
SELECT * FROM view(SELECT * FROM file('/etc/passwd'))
SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))
SELECT * FROM eval('SELECT 1')
SELECT * FROM default.`/etc/passwd`
SELECT * FROM "default"."/etc/passwd"
SELECT 'root' IN default.`/etc/passwd`
SELECT 1 IN system.users
SELECT in(1, system.users)
SELECT file('/etc/passwd')
SELECT FILE('/etc/passwd')
SELECT dictGet('a', 'b', 1)
SELECT joinGet('a.b', 'c', 1)
SELECT hasColumnInTable('h', 'u', 'p', 'd', 't', 'c')
SELECT sleep(3)
SELECT sleepEachRow(1) FROM numbers(3)
SELECT getServerSetting('x')
SELECT aiGenerate('x')
SELECT * FROM system.users
SELECT * FROM system.query_log
SELECT * FROM system.processes
SELECT * FROM SYSTEM.users
SELECT * FROM other.spans
SELECT 1 INTO OUTFILE '/tmp/x'
SELECT 1 into/**/outfile '/tmp/x'
SELECT 1; DROP TABLE spans
SELECT 1; SELECT 2
SELECT ';'
INSERT INTO spans (tenant) VALUES ('x')
CREATE TABLE x (a UInt8) ENGINE = Memory
DROP TABLE spans
ALTER TABLE spans DELETE WHERE 1
TRUNCATE TABLE spans
KILL QUERY WHERE 1
SYSTEM SHUTDOWN
SET max_execution_time = 0
USE system
ATTACH TABLE x
GRANT ALL ON *.* TO x
EXPLAIN SELECT * FROM file('/etc/passwd')
EXPLAIN AST DROP TABLE spans
DESCRIBE TABLE file('/etc/passwd')
DESCRIBE TABLE default.`/etc/passwd`
SHOW CREATE TABLE system.users
SHOW GRANTS
SELECT 1 SETTINGS max_execution_time = 0
SELECT * FROM (SELECT 1 SETTINGS allow_introspection_functions = 1)
SELECT 1 SETTINGS format_template_resultset = '/etc/passwd' FORMAT Template
SELECT 1 SETTINGS output_format_schema = '/tmp/x'
SELECT * FROM {t:Identifier}
SELECT /* /* */ * FROM file('/etc/passwd') -- */
SELECT $$ $$ AS a, $x$ ' $x$ AS b FROM file('/etc/passwd')
SELECT '\\' FROM file(concat('/etc/', 'passwd')) -- '
SELECT 1 #x UNION ALL SELECT * FROM file('/etc/passwd')
FROM file('/etc/passwd') SELECT *
""".strip().splitlines()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, embedded_folder: Path) -> Iterator[Engine]:
    dsn = parse_dsn(f"chdb://{embedded_folder}?database=fenced")
    assert isinstance(dsn, EmbeddedDsn)
    with connect(str(dsn)) as db:
        migrate(db)
    engine = Engine(dsn, handles=1, settings={"max_execution_time": 20})
    yield engine
    engine.close()


@pytest.fixture
def fence(engine: Engine) -> Fence:
    return Fence("fenced", lambda sql: engine.execute(f"EXPLAIN AST {sql}", "TSVRaw").body.decode())


@pytest.mark.parametrize("sql", READS)
def test_what_only_reads_passes_and_runs(fence: Fence, engine: Engine, sql: str) -> None:
    statement = fence.check(sql)
    assert statement == sql.rstrip(";")
    engine.execute(statement, "TabSeparated")


def test_comments_of_one_line_may_stand_before_a_statement(fence: Fence, engine: Engine) -> None:
    for sql in ("-- what: a list\n-- of one\n  SELECT 1", "-- x\nSHOW TABLES", "\n--x\n\nEXPLAIN SELECT 1"):
        engine.execute(fence.check(sql), "TabSeparated")
    for sql in (
        "-- x\nDROP TABLE spans",
        "-- SELECT 1\nDROP TABLE spans",
        "-- SELECT 1",
        "--\rSELECT 1\nDROP TABLE spans",
    ):
        with pytest.raises(Refused):
            fence.check(sql)


@pytest.mark.parametrize("sql", REFUSED)
def test_what_does_more_is_refused(fence: Fence, sql: str) -> None:
    with pytest.raises((Refused, EngineError)) as caught:
        fence.check(sql)
    if isinstance(caught.value, Refused):
        assert caught.value.reason is Reason.FORBIDDEN
    elif isinstance(caught.value, EngineError):
        assert caught.value.code in {47, 62}, "the engine itself does not understand it"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd')",
        "SELECT * FROM default.`/etc/passwd`",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM system.users",
        "SELECT 1 IN system.users",
        "SELECT sleep(1)",
        "SELECT 1 SETTINGS max_threads = 1",
    ],
)
def test_the_engines_own_reading_refuses_what_the_first_reading_would_miss(engine: Engine, sql: str) -> None:
    fence = Fence("fenced", lambda sql: engine.execute(f"EXPLAIN AST {sql}", "TSVRaw").body.decode())
    with pytest.raises(Refused):
        fence._check_engine_reading(fence.explain(sql), 0)


def test_a_statement_is_never_handed_to_the_engine_before_it_is_known_to_be_one() -> None:
    asked: list[str] = []

    def explain(sql: str) -> str:
        asked.append(sql)
        return ""

    fence = Fence("fenced", explain)
    for sql in ("SELECT 1; DROP TABLE spans", "SELECT 1\0", "DROP TABLE spans", "EXPLAIN DROP TABLE spans"):
        with pytest.raises(Refused):
            fence.check(sql)
    assert asked == []


def test_a_session_is_as_before_after_every_call(engine: Engine) -> None:
    setting = "SELECT value FROM system.settings WHERE name = 'max_execution_time'"
    where = "SELECT currentDatabase()"
    changed = engine.execute(setting, "TSVRaw", settings={"max_execution_time": "7", "join_use_nulls": "1"})
    assert changed.body == b"7\n"
    assert engine.execute(where, "TSVRaw", database="system").body == b"system\n"
    with pytest.raises(EngineError):
        engine.execute("SELECT nonesuch", "TSVRaw", settings={"max_execution_time": "7"}, database="system")
    with pytest.raises(EngineError) as caught:
        engine.execute("SELECT 1", "TSVRaw", settings={"nonesuch": "7"})
    assert caught.value.code == 115
    assert engine.execute(setting, "TSVRaw").body == b"20\n"
    assert engine.execute(where, "TSVRaw").body == b"fenced\n"
    nulls = "SELECT changed FROM system.settings WHERE name = 'join_use_nulls'"
    assert engine.execute(nulls, "TSVRaw").body == b"0\n"


@pytest.mark.parametrize("name", ["x = 1, readonly", "a'b", "", "1x"])
def test_a_name_of_a_setting_is_a_name(engine: Engine, name: str) -> None:
    with pytest.raises(EngineError, match="is not a name"):
        engine.execute("SELECT 1", "TSVRaw", settings={name: "1"})


@pytest.mark.parametrize("name", ["max_execution_time", "readonly", "format_schema", "output_format_schema", "file_x"])
def test_settings_that_lift_limits_or_reach_files_are_refused(name: str) -> None:
    with pytest.raises(Refused, match=name):
        check_settings([name])


def test_settings_that_only_bound_an_answer_pass() -> None:
    check_settings(["limit", "offset", "max_result_rows", "output_format_json_quote_64bit_integers"])
