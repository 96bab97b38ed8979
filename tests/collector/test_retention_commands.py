"""What a person types: plan, apply, accept, log, hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from collector.commands import register
from collector.retention import log
from collector.retention.decide import Moment
from collector.retention.picture import about, lines, picture
from collector.retention.settings import Holding, Settings
from collector.retention.survey import FLAGGED, HELD, OTHER, TRACELESS, Share
from schema.errors import ConfigError
from tests.collector.retained import FAILING, NOW, TODAY, WEEK, World, emptied, name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(kept_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Lend a database of which commands believe that it is NOW."""
    with emptied(kept_dsn) as one:
        monkeypatch.setattr("collector.retention.expire.moment_of", lambda _db, quiet_s: Moment(one.now, quiet_s))
        yield one


@pytest.fixture
def config(tmp_path: Path, kept_dsn: str) -> Path:
    path = tmp_path / "new.yaml"
    path.write_text(f"""
receivers: {{otlp: {{protocols: {{http: }}}}}}
exporters: {{clickhouse: {{dsn: "{kept_dsn}"}}}}
extensions:
  retention:
    other_days: 3
service:
  extensions: [retention]
  pipelines: {{traces: {{receivers: [otlp], exporters: [clickhouse]}}}}
""")
    return path


def run(dsn: str | None, *arguments: str) -> Any:
    app = typer.Typer()
    register(app)
    given = [*arguments, *(["--dsn", dsn] if dsn else [])]
    result = CliRunner().invoke(app, given)
    if isinstance(result.exception, ConfigError):
        raise result.exception
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def test_a_plan_says_what_goes_when_and_changes_nothing(world: World, kept_dsn: str, config: Path) -> None:
    world.trace(1, 2, days=9)
    world.trace(3, days=4)
    world.trace(4, days=4, of=FAILING)
    assert "No settings are in force" in run(kept_dsn, "retention", "plan").stdout
    world.force()
    told = run(kept_dsn, "retention", "plan").stdout
    assert "In force: flagged 90 days, others 7 days" in told
    assert "The first go now, with the next pass: 2 traces, 4 spans" in told
    other = run(None, "retention", "plan", "--config", str(config)).stdout
    assert "Asked for: flagged 90 days, others 3 days." in other
    assert "1 trace would go at once, kept by the settings in force." in other
    document = json.loads(run(None, "retention", "plan", "--config", str(config), "--json").stdout)
    assert document["removed_at_once_by_the_change"] == 1
    planned = {(s["class"], s["last_received"], s["goes_on"]): s["traces"] for s in document["shares"]}
    assert planned == {
        ("other", day(9), TODAY.isoformat()): 2,
        ("other", day(4), TODAY.isoformat()): 1,
        ("flagged", day(4), (TODAY + timedelta(days=87)).isoformat()): 1,
    }
    assert world.traces() == {1, 2, 3, 4}


def test_apply_asks_first_and_says_what_waits(world: World, kept_dsn: str) -> None:
    world.trace(1, days=9)
    world.force()
    asked = run(kept_dsn, "retention", "apply")
    assert (asked.exit_code, "1 trace due" in asked.stdout) == (1, True)
    waits = run(kept_dsn, "retention", "apply", "--yes", "--quiet-s", str(10**9))
    assert "1 trace wait" in waits.stdout
    assert world.traces() == {1}
    done = run(kept_dsn, "retention", "apply", "--yes", "--quiet-s", "0")
    assert done.stdout == "Removed: 1 trace (2 spans).\n"
    assert world.traces() == set()
    assert run(kept_dsn, "retention", "apply", "--yes", "--quiet-s", "0").stdout == "Nothing is due.\n"
    assert run(kept_dsn, "retention", "apply").exit_code == 0


def test_accept_puts_a_file_in_force_with_who_and_why(world: World, kept_dsn: str, config: Path) -> None:
    world.force()
    told = run(None, "retention", "accept", "--config", str(config), "--reason", "disk is full \x1b[31m").stdout
    assert told == "In force: flagged 90 days, others 3 days. Before: flagged 90 days, others 7 days.\n"
    assert log.in_force(log.read(world.db)) == Settings(Holding(90, 3))
    shown = run(kept_dsn, "retention", "log").stdout
    assert "disk is full" in shown
    assert "\x1b" not in shown
    assert [e["kind"] for e in json.loads(run(kept_dsn, "retention", "log", "--json").stdout)] == ["settings"] * 2


def test_times_can_be_given_without_a_file(world: World, kept_dsn: str) -> None:
    world.trace(1, days=4)
    world.force(Settings(Holding(90, 7), {"acme": Holding(9, 9)}))
    told = run(kept_dsn, "retention", "plan", "--other-days", "2").stdout
    assert "until you say so: evalgate retention accept --other-days 2 --reason WHY" in told
    run(kept_dsn, "retention", "accept", "--other-days", "2", "--reason", "disk")
    assert log.in_force(log.read(world.db)) == Settings(Holding(90, 2), {"acme": Holding(9, 9)})
    for arguments, says in (((), "say which"), (("--flagged-days", "1"), "at least as long as the rest")):
        with pytest.raises(ConfigError, match=says):
            run(kept_dsn, "retention", "accept", "--reason", "x", *arguments)


def test_a_hold_keeps_and_a_release_lets_go(world: World, kept_dsn: str) -> None:
    world.trace(1, 2, days=9)
    world.force()
    assert run(kept_dsn, "hold", "list").stdout == "No trace is held.\n"
    held = run(kept_dsn, "hold", "add", name(1).upper(), "--reason", "case 4711")
    assert held.stdout == "held: 1 trace\n"
    (listed,) = json.loads(run(kept_dsn, "hold", "list", "--json").stdout)
    assert (listed["trace"], listed["tenant"], listed["reason"]) == (name(1), "default", "case 4711")
    world.expire(WEEK)
    assert world.traces() == {1}
    run(kept_dsn, "hold", "release", name(1), "--reason", "settled")
    assert run(kept_dsn, "hold", "list").stdout == "No trace is held.\n"
    world.expire(WEEK)
    assert world.traces() == set()
    assert world.db.rows("SELECT held, reason FROM holds ORDER BY at") == [
        {"held": True, "reason": "case 4711"},
        {"held": False, "reason": "settled"},
    ]


def test_holds_of_what_is_not_there_are_refused_and_nothing_is_held(world: World, kept_dsn: str) -> None:
    world.trace(1, days=1)
    world.trace(1, days=1, tenant="acme")
    world.trace(3, days=9)
    world.expire()
    for arguments, says in (
        ((name(1), name(2)), "nothing is stored of it; nothing was held"),
        (("123",), "no trace id"),
        ((name(1),), r"several tenants have it \(acme, default\)"),
        ((name(3),), "nothing is stored of it"),
    ):
        with pytest.raises(ConfigError, match=says):
            run(kept_dsn, "hold", "add", *arguments, "--reason", "x")
    with pytest.raises(ConfigError, match="not held"):
        run(kept_dsn, "hold", "release", name(1), "--reason", "x")
    assert world.db.rows("SELECT 1 FROM holds") == []
    run(kept_dsn, "hold", "add", name(1), "--tenant", "acme", "--reason", "x")
    assert [r["tenant"] for r in world.db.rows("SELECT tenant FROM held_traces")] == ["acme"]


def test_a_hold_of_what_a_run_decided_to_remove_is_refused(
    world: World, kept_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.trace(1, days=9)
    world.force()

    def failpoint(at: str) -> None:
        if at == "retention.after_decide":
            raise KeyboardInterrupt

    monkeypatch.setattr("collector.retention.expire.failpoint", failpoint)
    with pytest.raises(KeyboardInterrupt):
        world.expire()
    assert world.traces() == {1}
    with pytest.raises(ConfigError, match="retention has removed it, or is about to"):
        run(kept_dsn, "hold", "add", name(1), "--reason", "x")


def test_what_is_decided_has_a_reason(world: World, kept_dsn: str) -> None:
    world.trace(1, days=1)
    for arguments in (("hold", "add", name(1)), ("retention", "accept", "--other-days", "3")):
        for empty in ("", " \t"):
            with pytest.raises(ConfigError, match="--reason is empty: say why"):
                run(kept_dsn, *arguments, "--reason", empty)
    run(kept_dsn, "hold", "add", name(1), "--reason", " court ")
    with pytest.raises(ConfigError, match="--reason is empty: say why"):
        run(kept_dsn, "hold", "release", name(1), "--reason", "")
    assert [(r["held"], r["reason"]) for r in world.db.rows("SELECT held, reason FROM holds")] == [(True, "court")]
    assert [e.kind for e in log.read(world.db)] == ["hold"]


def test_feedback_whose_trace_has_gone_counts_as_no_trace(world: World, kept_dsn: str) -> None:
    world.trace(1, 2, days=9)
    world.trace(3, days=4)
    world.expire()
    world.said(1, days=8)
    world.logs(2, days=8)
    told = run(kept_dsn, "retention", "plan").stdout
    assert "Stored: 1 trace, 2 spans" in told
    assert any(line.split()[1:3] == ["no", "spans"] and "1 log" in line for line in told.splitlines())
    assert "The first go now, with the next pass: 1 record without a trace." in told
    shares = json.loads(run(kept_dsn, "retention", "plan", "--json").stdout)["shares"]
    assert {(s["class"], s["traces"], s.get("spans"), s.get("log_records")) for s in shares} == {
        ("other", 1, 2, None),
        ("no spans", 0, None, 1),
    }
    asked = run(kept_dsn, "retention", "apply")
    assert (asked.exit_code, "1 log record or feedback without a trace due" in asked.stdout) == (1, True)


def test_where_there_is_no_database_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALGATE_DSN", raising=False)
    with pytest.raises(ConfigError, match="Start the collector here: evalgate up"):
        run(None, "retention", "plan")


def day(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


def share(kind: str, days: int, traces: int = 1) -> Share:
    spans, records = (0, 5) if kind == TRACELESS else (5, 0)
    return Share("default", TODAY - timedelta(days=days), kind, traces, spans, records)


def test_a_picture_has_a_line_for_each_day_and_class_and_sums_up_what_is_far() -> None:
    shares = [share(OTHER, n, 10 * n) for n in range(20)] + [share(FLAGGED, 3), share(HELD, 50), share(TRACELESS, 2, 0)]
    told = [*picture(lines(shares, WEEK, TODAY), TODAY, 100.0)]
    assert told[1].startswith("now")
    assert told[1].split()[3] == str(sum(10 * n for n in range(8, 20)))
    assert any("5 log" in line for line in told)
    assert any(line.startswith("never: 1 trace, 5 spans (held") for line in told)
    assert max(line.count("█") for line in told) == 24
    far = [share(OTHER, -n) for n in range(40)]
    assert any(line.startswith("later, until") for line in picture(lines(far, WEEK, TODAY), TODAY, None))
    assert [*picture(lines([], WEEK, TODAY), TODAY, None)] == [
        "Nothing goes: nothing is stored that a holding time ends for."
    ]


def test_sizes_are_rounded_and_unknown_is_said() -> None:
    assert [about(n, 1000.0) for n in (0, 5, 5000, 12_000_000)] == ["≈ 0 B", "≈ 5.0 kB", "≈ 5.0 MB", "≈ 12 GB"]
    assert about(5, None) == "size unknown"
    assert datetime(2026, 1, 1, tzinfo=UTC) < NOW
