"""`evalgate sample` as people use it: what they see, and what is refused before anything is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.app import run
from evalgate.database import TenantDatabase
from evalgate.sample.batch import JUDGED
from evalgate.sample.compare import Change, Comparison, Example, Group
from evalgate.sample.show import Holding, Report, print_report, report_json
from evalgate.sample.strata import rule_loads
from evalgate.terminal import Terminal
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.failure import reason_masks
from schema.policy import Policy
from schema.policy.rates import NONE
from schema.span import CANONICAL
from tests.evalgate import test_backtest
from tests.evalgate.test_backtest import made
from tests.evalgate.test_terminal import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

RULES = {"sample": {"rules": [{"name": "triage", "when": "service_name = 'triage'", "rate": 0.5}]}}


@pytest.fixture(scope="module")
def filled(embedded_folder: Path) -> Iterator[str]:
    """Keep a database with the traffic of today, and return its DSN."""
    before = test_backtest.BEGIN
    test_backtest.BEGIN = datetime.now(UTC) - timedelta(hours=5)
    dsn = f"chdb://{embedded_folder}?database=sample_cli"
    with connect(dsn, create_database=True) as db:
        migrate(db)
        policy = Policy.model_validate(RULES)
        test_backtest.ingest(db, made(), policy, "default")
        db.insert_rows("sampling_policies", [{"version": policy.version, "body": policy.body}])
        yield dsn
        db.command("DROP DATABASE sample_cli SYNC")
    test_backtest.BEGIN = before


@pytest.fixture
def dsn(filled: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EVALGATE_DSN", filled)
    return filled


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert run(["sample", *words]) == code
    out, err = capsys.readouterr()
    return err if code else out


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(said(capsys, *words, "--json"))


@pytest.mark.usefixtures("dsn")
def test_a_rule_is_tried_on_top_of_the_policy_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "backtest", "--rule", "slow: duration_ms > 30000")
    assert found["failing"]["gained"] > 0
    assert found["failing"]["lost"] == 0
    assert found["reasons"]["rule:slow"]["gained"] == found["reasons"]["rule:slow"]["then"] > 0
    assert {e["reasons"][0] for e in found["gained_failing"]} == {"rule:slow"}
    # The rates of the policy in force still hold: what is gained as failing is all that the baseline loses.
    assert (found["baseline_only"]["gained"], found["flagged"]["lost"]) == (0, 0)
    groups = {g["service_name"]: g["traces"] for g in found["groups"]}
    assert sum(groups.values()) == found["traces"] == found["stored_traces"]
    assert found["load"]["then"]["flagged_bytes"] > found["load"]["now"]["flagged_bytes"]
    assert found["until"] > found["since"] == found["whole_since"]


@pytest.mark.usefixtures("dsn")
def test_two_policies_are_compared_and_what_is_lost_comes_first(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    (project / "less.yaml").write_text("failure: {disabled: [tool_error]}\n")
    (project / "more.yaml").write_text("failure: {}\n")
    out = said(capsys, "backtest", "--policy", "less.yaml", "--against", "more.yaml")
    lines = out.splitlines()
    assert lines[0].startswith("less.yaml (policy ")
    assert "instead of more.yaml" in lines[0]
    assert lines[2].startswith("LOST: failing now, and not any more (")
    assert lines[3].split() == ["TRACE", "SERVICE", "REASONS", "IN", "THE", "BASELINE"]
    assert "tool_error" in lines[4]
    assert "Gained" not in out
    backwards = said(capsys, "backtest", "--policy", "more.yaml", "--against", "less.yaml")
    assert "LOST:" not in backwards
    assert "Gained: failing then, and not now" in backwards


@pytest.mark.usefixtures("dsn")
def test_nothing_is_there_to_try_it_on(capsys: pytest.CaptureFixture[str]) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert "is not over yet" in said(capsys, "backtest", "--rate", "0.2", "--since", tomorrow, code=2)
    out = said(capsys, "backtest", "--rate", "0.2", "--tenant", "nobody")
    assert "nothing is stored that was received since" in out
    assert "A longer time: --since 30d" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "say what to try: --policy FILE, --rule 'NAME: CONDITION' or --rate 0.2"),
        (["--rate", "1.5"], "--rate is the part of all traces that is sampled, between 0 and 1, not 1.5"),
        (["--rate", "nan"], "between 0 and 1"),
        (["--rule", "duration_ms > 3"], "is no rule; write --rule 'slow_answer: duration_ms > 30000'"),
        (["--rule", "slow: dration_ms > 3"], "--rule slow: there is no column 'dration_ms'. Did you mean"),
        (["--rule", "a: duration_ms > 3", "--rule", "a: duration_ms > 4"], "two rules are named 'a'"),
        (["--rule", "A B: duration_ms > 3"], "'A B' is no name of a rule"),
        (["--policy", "missing.yaml"], "the policy missing.yaml cannot be read"),
        (["--policy", "bad.yaml"], "bad.yaml:3: failure.rules[0].when: there is no column 'spam_kind'"),
        (["--policy", "bad.yaml"], "bad.yaml:5: sample.baseline_rate"),
        (["--policy", "broken.yaml"], "broken.yaml:1: not valid YAML"),
        (["--rate", "0.1", "--against", "bad.yaml"], "bad.yaml:3"),
        (["--rate", "0.1", "--since", "soon"], "--since 'soon' is not a time"),
    ],
)
def test_what_is_wrong_is_told_before_a_database_is_opened(
    words: list[str], told: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "bad.yaml").write_text(
        'failure:\n  rules:\n    - {name: a, when: "spam_kind = 1"}\nsample:\n  baseline_rate: 1.5\n'
    )
    (project / "broken.yaml").write_text("a: [")
    assert told in said(capsys, "backtest", *words, code=2)


@pytest.mark.usefixtures("dsn")
def test_rates_tells_of_each_rule_the_traces_that_it_gives(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "rates", "--since", "24h")
    triage, rest = found["rules"]
    assert (triage["rule"], triage["rate"], triage["in_use"]) == ("triage", 0.5, 0.5)
    assert (rest["rule"], rest["rate"]) == ("", 0.1)
    whole = document(capsys, "backtest", "--rate", "0.1", "--since", "24h")
    groups = {g["service_name"]: g for g in whole["groups"]}
    days = (datetime.now(UTC) - datetime.fromisoformat(found["since"])).total_seconds() / 86_400
    assert 1 <= days < 25 / 24

    def told(load: dict[str, Any], name: str) -> Any:
        return pytest.approx(load[name] * days, rel=1e-3)

    assert groups["triage"]["traces"] == told(triage, "traces")
    assert groups["triage"]["flagged"]["now"] == told(triage, "flagged")
    assert groups["shop"]["failing"]["now"] == told(rest, "failing")
    both = {"sampled": triage["sampled"] + rest["sampled"]}
    assert whole["baseline_only"]["now"] == told(both, "sampled")
    out = said(capsys, "rates")
    assert "service_name = 'triage'" in out
    assert "(no rule)" in out


def test_a_rule_that_lowers_the_rate_has_the_traces_all_of_whose_spans_it_covers(
    filled: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(filled) as db:
        database = TenantDatabase(db, "default")
        rules = [
            {"name": "tools", "when": "span_kind = 'tool'", "rate": 0.0},
            {"name": "shop", "when": "service_name = 'shop'", "rate": 0.01},
        ]
        policy = Policy.model_validate({"sample": {"baseline_rate": 0.1, "rules": rules}})
        now = datetime.now(UTC)
        found = {r.rule: r for r in rule_loads(database, policy, NONE, since=now - timedelta(days=1), now=now)}
    whole = document(capsys, "backtest", "--dsn", filled, "--rate", "0.1", "--since", "24h")
    assert sum(r.traces for r in found.values()) == pytest.approx(whole["traces"])
    assert found["tools"].traces == 0, "every tool is called by a model, which has another rate"
    groups = {g["service_name"]: g["traces"] for g in whole["groups"]}
    assert found["shop"].traces == pytest.approx(groups["shop"])
    assert found[""].traces == pytest.approx(groups["triage"])


def test_rates_without_a_policy_says_where_one_comes_from(
    embedded_dsn: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(embedded_dsn) as db:
        migrate(db)
        err = said(capsys, "rates", "--dsn", embedded_dsn, code=2)
    assert "no collector wrote down its policy" in err


def test_the_columns_that_built_in_rules_read_are_those_that_a_back_test_reads() -> None:
    class Watched(dict[str, "pa.Array"]):
        def __init__(self) -> None:
            super().__init__({f.name: f.type for f in CANONICAL})
            self.read: set[str] = set()

        def __contains__(self, name: object) -> bool:
            self.read.add(str(name))
            return False

        def get(self, name: str, default: Any = None) -> Any:
            self.read.add(name)
            return default

    watched = Watched()
    reason_masks(watched, 0)
    assert watched.read - set(JUDGED) == set()


def report(counted: Comparison, whole_since: datetime | None) -> Report:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    until = since + timedelta(days=14)
    return Report("p.yaml", "what was decided", since, until, whole_since, counted, Holding(30, 3))


def test_load_is_per_week_and_storage_is_of_the_holding_times() -> None:
    counted = Comparison(stored=2_000, traces=2_800.0, bytes=28e6)
    counted.flagged = Change(now=140, then=280, gained=150, lost=10)
    counted.flagged_bytes = Change(now=1.4e6, then=2.8e6)
    found = report(counted, datetime(2026, 11, 8, tzinfo=UTC))
    assert found.per_week(280) == 140
    assert found.review_hours(280) == pytest.approx((140 / 150 * 2, 140 / 50 * 2))
    assert found.kept_bytes(2.8e6) == pytest.approx((0.2e6 * 30, 1.8e6 * 3))
    assert report_json(found)["load"]["then"] == {
        "flagged_bytes": 6_000_000,
        "other_bytes": 5_400_000,
        "flagged_per_week": 140.0,
        "review_hours_per_week": [1.9, 5.6],
    }
    screen = Screen()
    print_report(Terminal(screen, screen), found)
    text = screen.getvalue()
    assert "2000 stored traces, standing for 2800" in text
    assert "all of it since 2026-11-08 only, before that the flagged ones" in text


def test_names_of_senders_are_data_and_cannot_act_on_a_terminal() -> None:
    counted = Comparison(stored=2, traces=2.0)
    counted.failing = Change(now=1, lost=1)
    counted.lost = [Example("0a" * 16, "shop\x1b[2J", ("rule:a",), baseline=False)]
    counted.groups = {("shop\x1b[2J", "[red]x"): Group(traces=1.0), ("b", ""): Group(traces=1.0)}
    for screen in (Screen(),):
        print_report(Terminal(screen, screen), report(counted, None))
        text = screen.getvalue()
        assert "shop\x1b[2J" not in text
        assert "[red]x" in text
