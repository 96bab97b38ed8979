"""`evalgate top`: figures from what a collector says, and clear words when none answers."""

from __future__ import annotations

import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from evalgate.app import run
from evalgate.errors import BadInput
from evalgate.top.commands import watch
from evalgate.top.screen import lines, picture, rows, size
from evalgate.top.status import DEFAULT_URL, NoAnswer, fetch, find_url
from evalgate.top.view import view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "http://127.0.0.1:1"
S = 1_000_000_000


def status(seconds: int = 0, **changes: Any) -> dict[str, Any]:
    """Return what a collector says that takes 100 spans and stores 80 a second."""
    accepted, stored = 1000 + 100 * seconds, 900 + 80 * seconds
    found: dict[str, Any] = {
        "state": "running",
        "ready": True,
        "uptime_s": 100.0 + seconds,
        "at_unix_ns": (1_000_000 + seconds) * S,
        "journal": {"backlog_records": 7, "used_bytes": 2_500_000, "max_bytes": 10_000_000_000, "lost_records": 0},
        "delivery": {
            "spans": stored,
            "logs": 0,
            "spans_by_tenant": {"default": stored - 10, "acme": 10},
            "oldest_unix_ns": 999_997 * S,
            "quarantined_records": 0,
            "retries": 0,
            "waiting_for": None,
        },
        "receivers": {
            "otlp": {"traces": {"accepted": accepted, "refused": 3, "refused_requests": {"unavailable": 2}}},
            "otlp/second": {"logs": {"accepted": 50, "refused": 0, "refused_requests": {"bad_data": 1}}},
        },
        "tenants": {"default": {"requests": 20 + 2 * seconds, "bytes": 3000, "refused_requests": 2}},
        "endpoints": {"otlp": {"http": "127.0.0.1:4318"}},
    }
    return {**found, **changes}


def said(**changes: Any) -> dict[str, str]:
    return {label: text for label, text, _ in lines(view(URL, status(1, **changes), status(0)))}


def test_rates_are_counts_by_the_collector_s_own_clock() -> None:
    seen = view(URL, status(2), status(0))
    assert (seen.received_spans_per_s, seen.stored_spans_per_s, seen.received_logs_per_s) == (100, 80, 0)
    assert seen.tenants[0].requests_per_s == 2


def test_there_are_no_rates_of_one_status_or_over_a_restart() -> None:
    for before in (None, status(0, uptime_s=5000.0)):
        seen = view(URL, status(2), before)
        assert (seen.received_spans_per_s, seen.tenants[0].stored_spans_per_s) == (None, None)


def test_lag_queue_and_what_was_refused_stand_there() -> None:
    found = said()
    assert found["lag"] == "7 requests waiting, the oldest for 4.0 s"
    assert found["journal"] == "2.5 MB of 10.0 GB"
    assert found["refused"] == "1 requests bad_data, 2 requests unavailable, 3 span or log records of accepted requests"
    assert found["received"] == "100 spans/s, 0 logs/s"
    assert found["quarantine"] == "nothing"


def test_an_age_that_is_not_known_is_not_made_up() -> None:
    assert said(delivery=status()["delivery"] | {"oldest_unix_ns": None})["lag"] == "7 requests waiting"
    assert said(journal=status()["journal"] | {"backlog_records": 0})["lag"] == "nothing waits"


def test_what_needs_a_person_is_told() -> None:
    delivery = status()["delivery"] | {"quarantined_records": 4, "waiting_for": "exporter clickhouse: \x1b[31mno route"}
    found = said(delivery=delivery)
    assert found["quarantine"] == "4 requests"
    assert found["waits for"] == "exporter clickhouse: \\x1b[31mno route"
    lost = status()["journal"] | {"lost_records": 2}
    assert said(journal=lost)["quarantine"] == "0 requests, 2 requests lost"


def test_a_collector_that_still_compiles_says_so() -> None:
    assert "still being loaded or compiled" in said(kernels_ready=False)["starting"]
    assert "starting" not in said(kernels_ready=True)


def test_a_sidecar_says_what_it_leaves_out_and_what_that_costs() -> None:
    assert "left out" not in said()
    delivery = {
        **status(1)["delivery"],
        "sampled_out_spans": 900,
        "exporters": {
            "otlp": {"early_keeps": 2, "late_failures": 1, "partial_traces": 3},
            "parquet": {"early_keeps": 2, "late_failures": 1, "partial_traces": 4},
        },
    }
    assert said(delivery=delivery, sampler={"waiting_bytes": 1_500_000})["left out"] == (
        "900 spans of traces that are not flagged, 1.5 MB wait for a decision, 2 traces kept early, "
        "4 traces kept in part (1 failed late)"
    )


def test_rates_that_rose_and_tracestates_that_are_not_believed_are_told_where_there_are_any() -> None:
    assert "sampling" not in said()
    rates = [{"tenant": "acme", "rule": "", "rate": 0.5}]
    assert said(baseline_rates=rates)["sampling"] == "1 rate above what is set (evalgate sample rates)"
    text = said(tracestate_faults={"malformed": 3, "too_small": 1})["sampling"]
    assert text == "3 spans with a tracestate that is malformed, 1 span with a tracestate that is too small"


def test_a_collector_without_spans_says_where_to_send_them() -> None:
    nothing = {"receivers": {}, "tenants": {}, "delivery": {}, "journal": {"backlog_records": 0}}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318" in said(**nothing)[""]
    assert "" not in said()


def test_tenants_are_listed_by_what_they_store() -> None:
    found = rows(view(URL, status(1), status(0)))
    assert [row[0] for row in found] == ["default", "acme"]
    assert found[0] == ("default", "80", "970", "2.0", "22", "3.0 kB", "2", "0")
    aside = status()["delivery"] | {"quarantined_by_tenant": {"acme": 3, "else": 1}}
    assert {t.name: t.quarantined_records for t in view(URL, status(0, delivery=aside), None).tenants} == {
        "default": 0,
        "acme": 3,
        "else": 1,
    }
    many = status()["delivery"] | {"spans_by_tenant": {f"t{i}": i for i in range(40)}}
    listed = rows(view(URL, status(0, delivery=many, tenants={}), None))
    assert (len(listed), listed[0][0], listed[-1][0]) == (31, "t39", "… and 10 more")


def test_workers_have_a_line_each() -> None:
    workers = [{"number": 1, "pid": 5, "starts": 2, "state": "running", "backlog_records": 3, "error": ""}]
    assert said(workers=workers)["worker 1"] == "running, 2 starts, 3 requests waiting"


def test_a_terminal_sees_all_of_it_and_why_it_is_old() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(picture(view(URL, status(1), status(0)), "no answer for 3 s"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.startswith("no answer for 3 s")
    assert "100 spans/s" in text
    assert "acme" in text


def test_sizes_are_as_people_read_them() -> None:
    assert [size(n) for n in (0, 999, 1000, 2_500_000, 5e15)] == ["0 B", "999 B", "1.0 kB", "2.5 MB", "5000.0 TB"]


def test_when_it_stops_answering_the_last_figures_stay_and_say_so() -> None:
    answers: list[Any] = [status(0), status(1), NoAnswer("gone"), NoAnswer("gone"), status(4)]
    clock = iter(range(100))

    def ask(url: str) -> dict[str, Any]:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return dict(found)

    seen = list(islice(watch(URL, ask, sleep=lambda _: None, monotonic=lambda: float(next(clock))), 5))
    assert [bool(trouble) for _, trouble in seen] == [False, False, True, True, False]
    assert seen[3][0] == seen[1][0]
    assert "no answer for" in seen[3][1]
    assert seen[4][0].received_spans_per_s == 100


# -- finding and asking ------------------------------------------------------------------------------------------


def test_the_collector_of_a_folder_is_found_by_what_it_left_there(tmp_path: Path) -> None:
    assert find_url(None, tmp_path) == DEFAULT_URL
    (tmp_path / "running.json").write_text(json.dumps({"endpoints": {"health_check/own": URL, "otlp": {}}}))
    assert find_url(None, tmp_path) == URL
    assert find_url("https://h:1", tmp_path) == "https://h:1"
    (tmp_path / "running.json").write_text("{")
    assert find_url(None, tmp_path) == DEFAULT_URL


def test_a_collector_that_tells_nothing_of_itself_is_told_how(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text(json.dumps({"endpoints": {"otlp": {}}}))
    with pytest.raises(BadInput, match="add health_check to extensions"):
        find_url(None, tmp_path)
    with pytest.raises(BadInput, match="is not an address"):
        find_url("file:///etc/passwd", tmp_path)


@contextmanager
def answering(code: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_one_that_is_starting_answers_too() -> None:
    with answering(503, json.dumps(status(state="starting")).encode()) as url:
        assert fetch(url)["state"] == "starting"


@pytest.mark.parametrize("body", [b"Ok.", b"[]", b'{"status": "Server available"}'])
def test_a_stranger_is_not_taken_for_a_collector(body: bytes) -> None:
    with answering(200, body) as url, pytest.raises(NoAnswer, match="not a collector of ours"):
        fetch(url)


def test_nobody_there_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--once", "--url", URL]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"evalgate: no collector answers on {URL}: ")
    assert "evalgate up" in err
    assert err.count("\n") == 1


def test_once_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(200, json.dumps(status()).encode()) as url:
        assert run(["top", "--once", "--json", "--url", url]) == 0
        found = json.loads(capsys.readouterr().out)
        assert run(["top", "--once", "--url", url]) == 0
    assert (found["queue_records"], found["refused_requests"]) == (7, {"bad_data": 1, "unavailable": 2})
    assert "7 requests waiting" in capsys.readouterr().out
