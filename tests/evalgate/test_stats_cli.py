"""`evalgate stats`: what a person sees of many traces, of few, of none, and of a mistake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from evalgate.app import run
from tests.evalgate.test_stats_read import MIXED, One, store

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.database import TenantDatabase

pytestmark = pytest.mark.parametrize("dsn", ["embedded"], indirect=True, scope="module")
"""Both engines are asked in test_stats_read.py."""

SINCE = ("--since", "2026-11-20")


def squeezed(text: str) -> str:
    """Return the text with one blank between words, so that widths of columns do not matter."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def shop(database: TenantDatabase) -> None:
    """Four hundred traces of two features; in one of them a tenth fails."""
    store(
        database,
        [
            One(
                n,
                failing=n % 20 == 1,
                reasons=("refusal",) if n % 20 == 1 else (),
                feature="refunds" if n % 2 else "search",
                baseline=n % 4 == 0,
            )
            for n in range(1, 401)
        ],
    )


def test_rates_come_with_intervals_and_say_what_they_rest_on(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    shop(database)
    assert run(["stats", *SINCE, "--dsn", dsn]) == 0
    text = capsys.readouterr().out
    assert "traces    400, every one of them stored: shares of this window are exact" in text
    assert "failing   20 stored" in text
    (line,) = (x for x in text.splitlines() if x.startswith("failing  ") and "%" in x)
    assert squeezed(line).startswith("failing 5.0 % 3.2 to 7.5 % 20 of 400 400 █")
    assert "├" in line
    assert "weighted by 1/inclusion probability (Hájek); 95 % intervals" in text
    assert "No trace of this window is labelled" in text
    assert "cost of a trace, mean  $0.5 " in text


def test_a_line_for_each_group(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    shop(database)
    assert run(["stats", "--by", "feature", *SINCE, "--dsn", dsn]) == 0
    text = capsys.readouterr().out
    assert "\nsearch insufficient data below 1.5 % 0 of 200 200 ├" in squeezed(text)
    assert "\nrefunds 10 % 6.4 to 15 % 20 of 200 200 █" in squeezed(text)
    assert "  insufficient: none seen (search)" in text
    assert run(["stats", "--by", "feature", "--of", "refusal", "--limit", "1", *SINCE, "--dsn", dsn]) == 0
    assert "1 more, each with fewer traces: --limit" in capsys.readouterr().out


def test_days_are_told_the_latest_first(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    store(database, [One(n) for n in (1, 2, 3, 80_000, 170_000)])
    assert run(["stats", "--by", "day", "--limit", "2", *SINCE, "--dsn", dsn]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10] for line in lines if line.startswith("2026")] == ["2026-11-22", "2026-11-21"]
    assert "  1 more, earlier: --limit" in lines


def test_machines_get_one_document(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    store(database, MIXED)
    assert run(["stats", *SINCE, "--dsn", dsn, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "evalgate/stats/1"
    (group,) = document["groups"]
    assert group["traces"]["thinned_for"] == 13
    failing = group["rates"][0]
    assert (failing["name"], failing["status"], failing["rate"]) == ("failing", "insufficient_data", None)
    low, high = failing["interval_95"]
    assert 0 < low < high < 1
    assert document["labels"]["modes"] == []


def test_what_was_thinned_is_said(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    store(database, MIXED)
    assert run(["stats", *SINCE, "--dsn", dsn]) == 0
    text = capsys.readouterr().out
    for words in (
        "traces    about 49 (",
        "4 traces stand for 13 of a time of which only failing and sampled ones are left; the other 34 are",
        "1 seen, up to 30 % of all traces may have failed so unseen",
        "samplers before us let through 50 % at the least",
        "1 trace kept for a person, not by chance",
        "1 failing trace of a time of which others of their kind were not sampled (rate 0)",
    ):
        assert words in text


def test_a_trace_that_carries_a_tenth_of_all_weight_is_named(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    store(database, [*(One(n) for n in range(1, 91)), One(0xBAD, failing=True, arrival=0.1)])
    assert run(["stats", *SINCE, "--dsn", dsn]) == 0
    note = f"--where 'trace_id != {0xBAD:032x}'"
    text = capsys.readouterr().out
    assert f"note one trace alone stands for 10 of about 100, and figures lean on it. Without it: {note}" in squeezed(
        text
    )
    assert run(["stats", *SINCE, "--dsn", dsn, "--where", f"trace_id != {0xBAD:032x}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["groups"][0]["traces"]
    assert (document["traces"], document["heaviest_weight"]) == (90, 1)


def test_low_volume_is_said_and_no_rate_is(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    store(database, [One(1, failing=True, reasons=("refusal\x1b[2J",))])
    assert run(["stats", *SINCE, "--dsn", dsn]) == 0
    text = capsys.readouterr().out
    assert "failing insufficient data 5.0 to 100 % 1 of 1 1 " in squeezed(text)
    assert "insufficient: effective n is 1, 30 are needed (failing, refusal\\x1b[2J)" in text
    assert "\x1b" not in text
    assert run(["stats", *SINCE, "--dsn", dsn, "--min-n", "1"]) == 0
    assert "insufficient data" in capsys.readouterr().out  # one session is one session


def test_an_empty_window_says_what_to_do(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    for command in (["stats"], ["stats", "--by", "release"], ["stats", "modes"]):
        assert run([*command, "--dsn", dsn]) == 0
        assert capsys.readouterr().out.startswith("No traces since 20")
        assert run([*command, "--dsn", dsn, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["schema"].startswith("evalgate/stats")


def test_modes_say_what_a_week_yields(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    shop(database)
    window = (*SINCE, "--until", "2026-11-27T09:00:01")
    assert run(["stats", "modes", *window, "--frequency", "0.05", "--dsn", dsn]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "400 traces a week, 120 of them flagged: all of 20 that fail and 26 % of the others; 0 % are"
    )
    assert "refusal reason 5.0 % 3.2 to 7.5 % 20 20 enough" in squeezed(text)
    assert "one in 20 asked asked for 20 5.3 baseline_rate 0.5 flags 90 more a week" in squeezed(text)
    assert run(["stats", "modes", *window, "--json", "--dsn", dsn]) == 0
    (mode,) = json.loads(capsys.readouterr().out)["modes"]
    assert (mode["name"], mode["flagged_per_week"]) == ("refusal", pytest.approx(20, rel=1e-3))


MISTAKES = (
    (["--by", "featur"], "Did you mean 'feature'?"),
    (["--since", "tomorrow"], "--since 'tomorrow' is not a time"),
    (["--until", "soon"], "--until 'soon' is not a time"),
    (["--since", "1h", "--until", "2h"], "the window is empty"),
    (["--where", "faling = true"], "Did you mean 'failing'?"),
    (["--min-n", "0"], "greater than or equal to 1"),
    (["--by", "feature", "--of", "refusl", *SINCE], "Did you mean 'refusal'?"),
    (["modes", "--frequency", "2"], "it is a share of traces, above 0 and at most 1"),
)


def test_mistakes_are_told(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    shop(database)
    for arguments, message in MISTAKES:
        assert run(["stats", *arguments, "--dsn", dsn]) == 2, arguments
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.out == ""
