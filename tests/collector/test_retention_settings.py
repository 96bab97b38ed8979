"""Holding times: what a file may say, what is in force, and what is refused because it would remove what is kept."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from collector.components import installed
from collector.config import parse
from collector.extensions.retention import SEEN, Figures, RetentionConfig, RetentionExtension, retention
from collector.metrics import Tenants, exposition
from collector.retention import log
from collector.retention.decide import Moment
from collector.retention.force import propose
from collector.retention.settings import Holding, Settings
from collector.retention.survey import GONE, HELD, OTHER, TRACELESS, bytes_per_span, late_failures, survey
from collector.workers.whole import together
from schema.component import Context
from schema.errors import ConfigError
from tests.collector.retained import BASELINE, FAILING, NOW, TODAY, WEEK, World, emptied, hold, name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporters.clickhouse.connect import Database

DEADLINE_S = 60.0


@pytest.fixture
def embedded(kept_dsn: str) -> Iterator[World]:
    with emptied(kept_dsn) as world:
        yield world


def where(*keys: str) -> str:
    return f"file.yaml:7: extensions.retention.{'.'.join(keys)}"


def propose_(world: World, settings: Settings) -> None:
    propose(world.db, settings, "test", lambda: TODAY, where)


def in_force(world: World) -> Settings | None:
    return log.in_force(log.read(world.db))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"flagged_days": 3}, "at least as long as the rest"),
        ({"tenants": {"acme": {"other_days": 100}}}, "tenants.acme: flagged_days is 90 and other_days 100"),
        ({"other_days": 0}, "greater than or equal to 1"),
        ({"tenants": {"a/b": {}}}, "is not the name of a tenant"),
        ({"days": 7}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RetentionConfig.model_validate(given)


def test_a_tenant_takes_from_all_what_is_not_said_of_it() -> None:
    config = RetentionConfig.model_validate({"flagged_days": 60, "tenants": {"acme": {"other_days": 30}}})
    assert config.settings() == Settings(Holding(60, 7), {"acme": Holding(60, 30)})
    assert Settings.read(json.loads(json.dumps(config.settings().document()))) == config.settings()
    assert RetentionConfig(enabled=False).settings() == Settings()


def test_a_fresh_database_takes_what_the_file_says(embedded: World) -> None:
    propose_(embedded, WEEK)
    propose_(embedded, WEEK)
    assert [e.body for e in log.read(embedded.db)] == [WEEK.document()]


def test_longer_is_taken_over_and_shorter_where_nothing_would_go(embedded: World) -> None:
    embedded.trace(1, days=5)
    for days in (7, 30, 6):
        propose_(embedded, Settings(Holding(90, days)))
        assert in_force(embedded) == Settings(Holding(90, days))


def test_shorter_is_refused_where_something_would_go_with_the_line_and_what_to_do(embedded: World) -> None:
    propose_(embedded, Settings(Holding(90, 30), {"acme": Holding(90, 60)}))
    embedded.trace(1, 2, days=20)
    embedded.trace(3, days=20, of=FAILING)
    embedded.trace(4, days=40, tenant="acme")
    embedded.trace(5, days=20)
    hold(embedded, [5])
    before = log.read(embedded.db)
    with pytest.raises(ConfigError) as refused:
        propose_(embedded, WEEK)
    told = str(refused.value)
    assert "file.yaml:7: extensions.retention.other_days: other_days 7, where 30 are in force" in told
    assert "extensions.retention.tenants.acme.other_days: other_days 7, where 60 are in force" in told
    assert "3 traces, kept now, would go at once" in told
    assert "evalgate retention accept --config FILE --reason" in told
    assert log.read(embedded.db) == before
    embedded.expire(None)
    assert embedded.traces() == {1, 2, 3, 4, 5}


def test_retention_over_a_database_that_kept_everything_is_refused_once(embedded: World) -> None:
    embedded.trace(1, days=20)
    with pytest.raises(ConfigError, match="nothing was removed before: 1 trace, kept now"):
        propose_(embedded, WEEK)
    log.append_last(embedded.db, "settings", actor="me", reason="yes", body=WEEK.document())
    propose_(embedded, WEEK)
    assert embedded.expire(None).traces == 1


def test_a_survey_counts_by_day_and_class(db: Database) -> None:
    world = World(db)
    world.trace(1, 2, days=3)
    world.trace(3, days=3, spans=5, of=BASELINE)
    world.trace(4, days=3)
    hold(world, [4])
    world.trace(5, days=9)
    world.trace(5, days=1)
    world.logs(0, 0, 0, days=2)
    day = TODAY - timedelta(days=3)
    found = {(s.last_day, s.kind): (s.traces, s.spans or s.records, s.goes_on(WEEK)) for s in survey(db, TODAY)}
    assert found == {
        (day, OTHER): (2, 4, day + timedelta(days=8)),
        (day, "flagged"): (1, 5, day + timedelta(days=91)),
        (day, HELD): (1, 2, None),
        (TODAY - timedelta(days=1), OTHER): (1, 4, TODAY + timedelta(days=7)),
        (TODAY - timedelta(days=2), TRACELESS): (0, 3, TODAY + timedelta(days=6)),
    }
    assert (bytes_per_span([db]) or 0) > 0


def test_feedback_whose_trace_has_gone_is_no_trace_and_goes_by_what_it_says(embedded: World) -> None:
    embedded.trace(1, 2, 3, days=9)
    embedded.trace(4, days=3)
    embedded.expire()
    embedded.said(1, days=0)
    embedded.said(2, days=3, polarity="positive")
    embedded.logs(3, 3, days=3)
    embedded.said(4, days=0)
    found = sorted((s.kind, s.traces, s.spans, s.records, s.goes_on(WEEK)) for s in survey(embedded.db, TODAY))
    assert found == [
        ("flagged", 1, 2, 0, TODAY + timedelta(days=91)),
        (GONE, 0, 0, 1, TODAY + timedelta(days=91)),
        (GONE, 0, 0, 3, TODAY + timedelta(days=5)),
    ]
    times = Settings(Holding(90, 1))
    with pytest.raises(ConfigError, match="3 log records or feedback without a trace, kept now, would go"):
        propose_(embedded, times)
    embedded.expire(times)
    assert {r["trace_id"] for r in embedded.db.rows("SELECT trace_id FROM feedback")} == {name(1), name(4)}
    assert [(s.kind, s.records) for s in survey(embedded.db, embedded.now.date())] == [("flagged", 0), (GONE, 1)]


def test_what_a_survey_says_is_what_goes(embedded: World) -> None:
    """On each of two days, what was planned for it went."""
    times = Settings(Holding(4, 2))
    for days in (2, 3):
        embedded.trace(10 * days, 10 * days + 1, days=days)
    embedded.trace(50, 51, days=3, of=BASELINE)
    embedded.trace(20, days=1)
    embedded.force(times)
    gone = []
    for _ in range(2):
        due = [s for s in survey(embedded.db, TODAY) if (g := s.goes_on(times)) and g <= embedded.now.date()]
        gone.append(embedded.expire(None).traces)
        assert gone[-1] == sum(s.traces for s in due)
        embedded.later(1)
    assert gone == [2, 1]


def test_a_failure_that_comes_after_its_trace_went_is_counted(embedded: World) -> None:
    embedded.trace(1, 2, days=9)
    embedded.trace(3, days=9, of=FAILING)
    embedded.expire()
    assert late_failures(embedded.db, TODAY) == 0
    embedded.said(1, days=0)
    embedded.said(1, days=0, polarity="positive")
    embedded.said(2, days=0, polarity="positive")
    embedded.said(3, days=0)
    embedded.said(77, days=0)
    assert late_failures(embedded.db, TODAY) == 1


def extension(dsn: str, folder: Path, **settings: Any) -> RetentionExtension:
    config = RetentionConfig.model_validate({"interval_s": 0.02, "quiet_s": 0, **settings})
    return RetentionExtension(config, dsn, folder, where, moment=lambda _db: Moment(NOW, 0))


async def until(holds: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_the_extension_removes_tells_and_ends(embedded: World, kept_dsn: str, tmp_path: Path) -> None:
    propose_(embedded, WEEK)
    embedded.trace(1, days=9)
    embedded.trace(2, days=9, of=FAILING)

    async def run() -> None:
        one = extension(kept_dsn, tmp_path)
        await one.start()
        await one.start()
        await until(lambda: one.figures.last_pass_unix_ns)
        await one.shutdown()
        await one.shutdown()
        told = one.retention_status()
        assert (told["expired_traces"], told["expired"], told["problem"]) == (1, {"traces": 2}, "")

    asyncio.run(run())
    assert embedded.traces() == {2}
    assert json.loads((tmp_path / SEEN).read_text()) == WEEK.document()


def test_a_start_that_would_remove_is_refused_and_nothing_began(embedded: World, kept_dsn: str, tmp_path: Path) -> None:
    embedded.trace(1, days=9)

    async def run() -> None:
        one = extension(kept_dsn, tmp_path)
        with pytest.raises(ConfigError, match="1 trace, kept now, would go"):
            await one.start()
        await one.shutdown()

    asyncio.run(run())
    assert embedded.traces() == {1}
    assert not (tmp_path / SEEN).exists()


def test_a_database_that_does_not_answer_is_not_waited_for_and_what_is_in_force_stays(
    embedded: World, kept_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start cannot know; the pass finds out, says so, and goes on with what was accepted."""
    propose_(embedded, Settings(Holding(90, 8)))
    embedded.trace(1, days=9.8)
    embedded.trace(2, days=8)
    monkeypatch.setattr("collector.extensions.retention.START_S", 0.0)

    async def run() -> None:
        one = extension(kept_dsn, tmp_path)
        await one.start()
        await until(lambda: one.figures.last_pass_unix_ns)
        await one.shutdown()
        assert "would go at once" in one.retention_status()["problem"]

    asyncio.run(run())
    assert embedded.traces() == {2}
    assert in_force(embedded) == Settings(Holding(90, 8))


def test_a_pass_that_fails_is_made_again(
    embedded: World, kept_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose_(embedded, WEEK)
    embedded.trace(1, days=9)
    real = RetentionExtension._pass
    fails = iter([OSError("disk"), ConfigError("no"), None])

    def flaky(self: RetentionExtension) -> None:
        if (error := next(fails, None)) is not None:
            raise error
        real(self)

    monkeypatch.setattr(RetentionExtension, "_pass", flaky)

    async def run() -> None:
        one = extension(kept_dsn, tmp_path)
        await one.start()
        await until(lambda: one.figures.last_pass_unix_ns)
        await one.shutdown()
        assert (one.figures.failed_passes, one.figures.problem) == (2, "")

    asyncio.run(run())
    assert embedded.traces() == set()


def test_switched_off_it_removes_nothing_and_to_switch_it_on_again_is_refused(
    embedded: World, kept_dsn: str, tmp_path: Path
) -> None:
    propose_(embedded, WEEK)
    embedded.trace(1, days=9)

    async def run() -> None:
        off = extension(kept_dsn, tmp_path, enabled=False)
        await off.start()
        await off.shutdown()
        with pytest.raises(ConfigError, match="nothing was removed before"):
            await extension(kept_dsn, tmp_path).start()

    asyncio.run(run())
    assert in_force(embedded) == Settings()


def test_without_a_database_a_start_asks_nobody(tmp_path: Path) -> None:
    one = retention(RetentionConfig(), Context("retention", tmp_path, dsn=f"chdb://{tmp_path}/nowhere"))

    async def run() -> None:
        await one.start()
        await one.shutdown()

    asyncio.run(run())
    assert not (tmp_path / "nowhere").exists()


def test_errors_of_a_start_name_the_line_of_the_file() -> None:
    text = """
receivers: {otlp: {protocols: {http: }}}
exporters: {debug: }
extensions:
  retention:
    other_days: 3
service:
  extensions: [retention]
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
"""
    config = parse(text, "f.yaml", installed(), {})
    told = config.extensions["retention"].where
    assert told("other_days") == "f.yaml:6: extensions.retention.other_days"
    assert told("tenants", "acme", "other_days") == "f.yaml:5: extensions.retention.tenants.acme.other_days"


def test_the_metrics_have_what_it_did_also_of_one_of_several_workers() -> None:
    figures = Figures(traces=3, failed_passes=1, last_pass_unix_ns=5 * 10**9, late_failures=2)
    figures.rows["logs"] = 7
    status = together([{"retention": figures.document()}, {"retention": {}}])
    told = exposition(status, Tenants()).decode()
    for line in (
        "evalgate_retention_expired_traces 3",
        'evalgate_retention_expired_items{signal="logs"} 7',
        "evalgate_retention_failed_passes 1",
        "evalgate_retention_last_pass_seconds 5",
        "evalgate_retention_late_failures 2",
    ):
        assert line in told.splitlines()
    assert "retention" not in exposition(together([{}]), Tenants()).decode()


def test_an_end_does_not_wait_for_a_silent_database(
    embedded: World, kept_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose_(embedded, WEEK)
    begun, silent, ended = threading.Event(), threading.Event(), threading.Event()

    def never(_: RetentionExtension) -> None:
        begun.set()
        silent.wait(DEADLINE_S)
        ended.set()

    monkeypatch.setattr(RetentionExtension, "_pass", never)
    monkeypatch.setattr("collector.extensions.retention.END_S", 0.01)

    async def run() -> None:
        one = extension(kept_dsn, tmp_path)
        await one.start()
        await until(begun.is_set)
        await one.shutdown()
        assert not ended.is_set()
        silent.set()

    asyncio.run(run())
