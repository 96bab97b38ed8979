"""The metrics are well-formed, say what the status says, and never grow with what senders write."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from collector.extensions.health_check import HealthCheck, HealthCheckConfig
from collector.metrics import CONTENT_TYPE, Family, Tenants, exposition, render

HELP = re.compile(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (?:[^\\\n]|\\\\|\\n)+")
TYPE = re.compile(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)")
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.+)\})? (-?[0-9.e+-]+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
UNESCAPE = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}

STATUS: dict[str, Any] = {
    "ready": True,
    "uptime_s": 12.5,
    "at_unix_ns": 10_000_000_000,
    "receivers": {
        "otlp": {
            "traces": {"accepted": 100, "refused": 3, "duplicate": 2, "refused_requests": {"unavailable": 4}},
            "logs": {"accepted": 7, "refused": 0, "refused_requests": {}},
        }
    },
    "limits": {"otlp": {"spans": 1}},
    "journal": {
        "used_bytes": 1000,
        "max_bytes": 10_000,
        "backlog_records": 5,
        "lost_records": 0,
        "damaged_bytes": 0,
        "quarantine_bytes": 77,
        "quarantine_max_bytes": None,
        "readers": {"clickhouse": {"backlog_records": 5, "lag_bytes": 900, "skipped": {"records": 0}}},
    },
    "delivery": {
        "exporters": {
            "clickhouse": {
                "spans": 80,
                "logs": 6,
                "retries": 1,
                "quarantined_records": 2,
                "rejected_records": 0,
                "forgotten_blocks": 4,
                "breaker": "open",
                "oldest_unix_ns": 7_500_000_000,
            }
        }
    },
    "tenants": {"acme": {"requests": 9, "bytes": 4000, "refused_requests": 0}},
    "ledger": {
        "booked": {"acme": {"traces": {"refused": {"bad_data": {"count": 0, "uncounted_requests": 2}}}}},
        "in_journal": {"acme": {"traces": 20}},
    },
    "tracestate_faults": {"malformed": 2},
    "redactions": {"openai": 3},
}


def parse(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read the text format, refusing whatever a strict reader would."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    declared: set[str] = set()
    current = ""
    assert text.endswith(b"\n")
    for line in text.decode("utf-8").split("\n")[:-1]:
        if match := HELP.fullmatch(line):
            assert match[1] not in declared, "all samples of a metric stand together"
            current = match[1]
        elif match := TYPE.fullmatch(line):
            assert match[1] == current
            declared.add(current)
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == current
            pairs = LABEL.findall(match[2] or "")
            assert "".join(f'{k}="{v}",' for k, v in pairs).rstrip(",") == (match[2] or "")
            labels = tuple((k, re.sub(r"\\.", lambda m: UNESCAPE[m[0]], v)) for k, v in pairs)
            assert len({k for k, _ in labels}) == len(labels)
            assert (current, labels) not in found
            found[current, labels] = float(match[3])
    return found


def test_every_count_has_the_collector_s_name_where_it_has_one() -> None:
    found = parse(exposition(STATUS, Tenants()))
    receiver, exporter = (("receiver", "otlp"),), (("exporter", "clickhouse"),)
    assert found["otelcol_receiver_accepted_spans", receiver] == 100
    assert found["otelcol_receiver_refused_spans", receiver] == 3
    assert found["otelcol_receiver_accepted_log_records", receiver] == 7
    assert found["otelcol_exporter_sent_spans", exporter] == 80
    assert found["otelcol_exporter_sent_log_records", exporter] == 6
    assert found["otelcol_exporter_queue_size", exporter] == 5
    assert found["evalgate_exporter_lag_bytes", exporter] == 900
    assert found["evalgate_exporter_forgotten_blocks", exporter] == 4
    assert found["evalgate_exporter_breaker", exporter] == 2
    assert found["evalgate_exporter_oldest_seconds", exporter] == 2.5
    assert found["evalgate_receiver_limit_hits", (("limit", "spans"), ("receiver", "otlp"))] == 1
    assert found["evalgate_journal_bytes", ()] == 1000
    assert found["evalgate_quarantine_bytes", ()] == 77
    assert not [name for name, _ in found if name == "evalgate_quarantine_max_bytes"], "unlimited is no number"
    assert found["evalgate_redactions", (("detector", "openai"),)] == 3
    assert found["evalgate_tracestate_faults", (("fault", "malformed"),)] == 2
    assert found["evalgate_ledger_in_journal", (("signal", "traces"), ("tenant", "acme"))] == 20
    refused = (("reason", "bad_data"), ("signal", "traces"), ("state", "refused"), ("tenant", "acme"))
    assert found["evalgate_ledger_uncounted_requests", refused] == 2


def test_a_sidecar_says_what_it_leaves_out() -> None:
    lane = {"sampled_out_spans": 900, "sampled_out_logs": 5, "early_keeps": 2, "late_failures": 1, "partial_traces": 3}
    status = {
        **STATUS,
        "delivery": {"exporters": {"otlp": lane, "debug": {"spans": 1}}},
        "sampler": {"waiting_bytes": 10, "max_wait_bytes": 100, "remembered_traces": 4, "max_traces": 50},
    }
    text = exposition(status, Tenants()).decode()
    for line in (
        'evalgate_exporter_sampled_out_items{exporter="otlp",signal="traces"} 900',
        'evalgate_exporter_sampled_out_items{exporter="otlp",signal="logs"} 5',
        'evalgate_exporter_early_keeps{exporter="otlp"} 2',
        'evalgate_exporter_late_failures{exporter="otlp"} 1',
        'evalgate_exporter_partial_traces{exporter="otlp"} 3',
        "evalgate_sampler_waiting_bytes 10",
        "evalgate_sampler_remembered_traces 4",
    ):
        assert line in text.splitlines()
    assert 'sampled_out_items{exporter="debug"' not in text
    assert "evalgate_sampler" not in exposition(STATUS, Tenants()).decode()


def test_a_status_that_says_nothing_yet_is_no_error() -> None:
    assert parse(exposition({}, Tenants())) == {("evalgate_ready", ()): 0}


def test_tenants_beyond_the_thousandth_share_a_series_and_nobody_loses_one() -> None:
    tenants = Tenants()
    many = {f"t{n}": {"requests": 1, "bytes": 1} for n in range(1500)}
    for _ in range(2):
        found = parse(exposition({"tenants": many}, tenants))
        series = {labels: n for (name, labels), n in found.items() if name == "evalgate_tenant_requests"}
        assert len(series) == 1001
        assert series[(("tenant", "other"),)] == 500
    late = {"tenants": {"t999": {"requests": 7, "bytes": 1}, "new": {"requests": 1, "bytes": 1}}}
    found = parse(exposition(late, tenants))
    assert found["evalgate_tenant_requests", (("tenant", "t999"),)] == 7
    assert found["evalgate_tenant_requests", (("tenant", "other"),)] == 1


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", 'x"} 1\nevil 2', "ä😀", "", "\\n"])
def test_no_label_breaks_out_of_its_quotes(text: str) -> None:
    family = Family("m", "gauge", "A text\nof \\ two lines.")
    family.add(1, tenant=text)
    assert parse(render([family])) == {("m", (("tenant", text),)): 1}


def test_the_health_check_serves_them() -> None:
    async def work() -> tuple[bytes, str, bytes]:
        check = HealthCheck(HealthCheckConfig(endpoint="127.0.0.1:0"), lambda: STATUS, Path())
        await check.start()
        try:

            def ask(path: str) -> tuple[bytes, str]:
                with urllib.request.urlopen(f"{check.url}{path}", timeout=10) as answer:  # noqa: S310 - it is ours
                    return answer.read(), answer.headers["content-type"]

            body, kind = await asyncio.to_thread(ask, "/metrics?x=1")
            other, _ = await asyncio.to_thread(ask, "/")
            return body, kind, other
        finally:
            await check.shutdown()

    body, kind, other = asyncio.run(work())
    assert kind == CONTENT_TYPE
    assert ("otelcol_receiver_accepted_spans", (("receiver", "otlp"),)) in parse(body)
    assert other.startswith(b'{"ready":true')
