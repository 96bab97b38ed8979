"""What senders say they sent, in each form they say it, and how it is compared."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.errors import BadInput
from evalgate.ledger.account import Line, bars, step_minutes
from evalgate.ledger.reconcile import compare
from evalgate.ledger.sent import Sent, parse_sent, read_sent

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
TABLE = [Sent(1200, "acme", "shop", "traces", MINUTE), Sent(3, "acme", "", "logs", MINUTE)]


def line(state: str, count: int, *, tenant: str = "acme", signal: str = "traces") -> Line:
    return Line(tenant, signal, state, "", count, 0)


def test_a_csv_names_its_columns() -> None:
    text = "tenant,service,signal,minute,sent\nacme,shop,traces,2026-11-21T08:30Z,1200\nacme,,logs,1795249800,3\n"
    assert parse_sent(text, "f") == TABLE
    assert parse_sent("sent\n7\n", "f") == [Sent(7)]


def test_json_is_one_object_or_an_array(tmp_path: Path) -> None:
    rows = [
        {"tenant": "acme", "service": "shop", "minute": "2026-11-21T08:30:00+00:00", "sent": 1200},
        {"tenant": "acme", "signal": "logs", "minute": "2026-11-21T08:30", "sent": "3"},
    ]
    file = tmp_path / "sent.json"
    file.write_text(json.dumps(rows))
    assert read_sent(str(file)) == TABLE
    assert read_sent('{"sent": 5}') == [Sent(5)]


def test_metrics_of_an_sdk_and_of_a_collector_are_summed_and_failures_left_out() -> None:
    text = """
# HELP otel_sdk_exporter_span_exported_total The number of spans for which the export has finished
# TYPE otel_sdk_exporter_span_exported_total counter
otel_sdk_exporter_span_exported_total{otel_component_name="a/0",service_name="shop"} 1.0e+03 1795249800000
otel_sdk_exporter_span_exported_total{otel_component_name="a/1",service_name="shop"} 200
otel_sdk_exporter_span_exported_total{service_name="shop",error_type="rejected"} 9
otel_sdk_exporter_span_exported_count_total{service_name="old \\"one\\""} 4
otelcol_exporter_sent_spans{exporter="otlp"} 50
otelcol_exporter_sent_log_records_total 7
process_cpu_seconds_total 1.5
"""
    assert sorted(parse_sent(text, "f"), key=lambda s: s.count) == [
        Sent(4, "", 'old "one"'),
        Sent(7, signal="logs"),
        Sent(50),
        Sent(1200, "", "shop"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither JSON, nor metrics, nor a CSV"),
        ("a,b\n1,2\n", "neither JSON, nor metrics, nor a CSV"),
        ("sent\nmany\n", "row 2: sent must be a whole number"),
        ("sent\n-1\n", "row 2: sent is at least 0"),
        ("sent,signal\n1,metrics\n", "signal one of traces"),
        ("sent,minute\n1,noon\n", "'noon' is no time"),
        ("sent,minute\n1,99999999999999999\n", "is no time"),
        ("sent,extra\n1,2\n", "unknown column 'extra'"),
        ("[1]", "row 1: an object"),
        ("[{]", "not JSON"),
        ("up 1\n", "none of the metrics"),
        ("# x\notelcol_exporter_sent_spans NaN\n", "line 2: 'NaN' is no count"),
        ("# x\n???\n", "line 2: not a sample"),
    ],
)
def test_what_is_none_of_the_forms_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_sent(text, "f")


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(BadInput, match=r"nowhere\.csv cannot be read: No such file"):
        read_sent("nowhere.csv")


def test_what_was_sent_is_looked_for_in_every_state_but_refused_duplicate_and_lost() -> None:
    lines = [
        line("stored", 90),
        line("quarantined", 4),
        line("in_journal", 3),
        line("duplicate", 50),
        line("refused", 50),
        line("lost", 2),
    ]
    (found,) = compare([Sent(100)], lines, {}, ["acme"])
    assert (found.tenant, found.found, found.missing, found.surplus) == ("acme", 97, 3, 0)
    (more,) = compare([Sent(60), Sent(20)], lines, {}, ["acme"])
    assert (more.sent, more.missing, more.surplus) == (80, 0, 17)


def test_a_service_is_granted_what_nobody_can_tell_by_service_once() -> None:
    lines = [line("stored", 50), line("quarantined", 5)]
    stored = {("acme", "traces", "a"): 20, ("acme", "traces", "b"): 30}
    sent = [Sent(24, service="a"), Sent(33, service="b"), Sent(1, service="c")]
    found = compare(sent, lines, stored, ["acme"])
    assert [(d.service, d.found, d.missing) for d in found] == [("a", 20, 0), ("b", 30, 2), ("c", 0, 1)]


def test_feedback_that_waits_counts_as_log_records() -> None:
    lines = [line("stored", 8, signal="feedback"), line("in_journal", 2, signal="logs")]
    (found,) = compare([Sent(10, signal="feedback")], lines, {}, ["acme"])
    assert found.missing == 0


def test_a_sender_without_a_tenant_means_the_only_one() -> None:
    assert [d.tenant for d in compare([Sent(0)], [], {}, [])] == ["default"]
    with pytest.raises(BadInput, match=r"there are several: a, b\. Add --tenant"):
        compare([Sent(1)], [], {}, ["a", "b"])


def test_bars_show_the_most_and_that_any_is_not_none() -> None:
    assert bars([0, 1, 500, 1000, -1]) == " ▁▄█."
    assert bars([]) == ""


@pytest.mark.parametrize("minutes", [0, 59, 60, 1440, 10_080, 43_200, 525_600, 10_000_000])
def test_a_chart_has_at_most_sixty_steps_and_a_few(minutes: int) -> None:
    assert minutes // step_minutes(minutes) <= 60
