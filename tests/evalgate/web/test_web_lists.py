"""Lists of traces and sessions: complete, in order, page by page, however the traces came."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.database import TenantDatabase
from evalgate.errors import BadInput
from evalgate.select.where import parse_where
from evalgate.web import trace_list
from evalgate.web.errors import NotFound
from evalgate.web.session_list import Session, list_sessions, read_session
from evalgate.web.trace_list import Asked, Sort, came_after, latest_receipt, list_page, read_cursor
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.evalgate.traffic import START, Traffic
from tests.web.serving import Served, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evalgate.select.traces import TraceRow

TRACES = 70
LATE = f"{7:032x}"
"""Began with the seventh, and went on three hours later."""
AHEAD = f"{TRACES + 1:032x}"
"""Sent by a clock that is half an hour ahead: it was received before it began."""


class Gathered:
    """Takes what Traffic writes, so that all of it is one INSERT."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def insert_rows(self, _: str, rows: Sequence[dict[str, Any]]) -> None:
        self.rows += rows


def question(number: int) -> str:
    return f"Where is parcel {number}?" + (" zeppelin" if number == 5 else "")


def spans_of(number: int) -> list[dict[str, Any]]:
    """Return what is particular of the trace of a number: one in ten fails, four make a session, pairs tie in start."""
    start = START + timedelta(minutes=(number // 2) * 4)
    failing = number % 10 == 0
    return [
        {
            "start_time": start,
            "received_at": start + timedelta(seconds=2),
            "end_time": start + timedelta(seconds=number % 7),
            "duration_ns": (number % 7) * 10**9,
            "session_id": f"s/{number // 4}" if number % 9 else None,
            "user_id": "<b>ann</b>",
            "input_text": question(number),
            "output_text": f"Answer {number}",
            "service_name": ("shop", "desk")[number % 2],
            "failing": failing,
            "failure_reasons": ["tool_error"] if failing else [],
            "cost_usd": number / 1000 if number % 3 else None,
        }
    ]


@pytest.fixture(scope="module", params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def dsn(request: pytest.FixtureRequest) -> str:
    """Return a database with traces over two hours."""
    if request.param == "embedded":
        found = f"chdb://{request.getfixturevalue('embedded_folder')}?database=web_lists"
    else:
        found = f"{request.getfixturevalue('clickhouse_server')}/web_lists"
    gathered: Any = Gathered()
    traffic = Traffic(gathered)
    for number in range(TRACES):
        traffic.trace(f"{number:032x}", spans_of(number))
    (ahead,) = spans_of(TRACES + 1)
    traffic.trace(AHEAD, [{**ahead, "received_at": ahead["start_time"] - timedelta(minutes=30)}])
    with connect(found, create_database=True) as db:
        migrate(db)
        database = TenantDatabase(db, "default")
        columns = {c for r in gathered.rows for c in r}
        database.insert_rows("spans", [{c: r.get(c) for c in columns} for r in gathered.rows])
        (late,) = spans_of(7)
        later = late["received_at"] + timedelta(hours=3)
        goes_on = {"received_at": later, "start_time": later, "end_time": later, "parent_span_id": b"absent.."}
        Traffic(database).trace(LATE, [{**late, **goes_on, "failing": True, "failure_reasons": ["late"]}])
        TenantDatabase(db, "other").insert_rows("spans", [{**gathered.rows[0], "failing": False}])
    return found


@pytest.fixture
def database(dsn: str) -> Iterator[TenantDatabase]:
    with connect(dsn) as db:
        yield TenantDatabase(db, "default")


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at an hour at first, so that a list of four hours takes several windows."""
    monkeypatch.setattr(trace_list, "FIRST_WINDOW", 5)
    monkeypatch.setattr(trace_list, "GROWTH", 1)


def every_page(database: TenantDatabase, asked: Asked) -> Iterator[Sequence[TraceRow]]:
    for _ in range(100):
        page = list_page(database, asked, monotonic_s=lambda: 0.0)
        assert page.asked == {r.trace_id: question(int(r.trace_id, 16)) for r in page.rows}
        yield page.rows
        if page.next is None:
            return
        asked = replace(asked, after=read_cursor(str(page.next)))
    pytest.fail("the pages do not end")


KEYS: dict[Sort, Callable[[Any], float]] = {
    Sort.NEWEST: lambda r: r.start_unix_ns,
    Sort.SLOWEST: lambda r: r.duration_ms,
    Sort.DEAREST: lambda r: r.cost_usd or 0.0,
    Sort.TOKENS: lambda r: r.input_tokens + r.output_tokens,
    Sort.ERRORS: lambda r: r.error_count,
}


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    "sort",
    [
        Sort.NEWEST,
        Sort.DEAREST,  # some have no cost
        *(pytest.param(s, marks=pytest.mark.thorough) for s in (Sort.SLOWEST, Sort.TOKENS, Sort.ERRORS)),
    ],
)
def test_pages_hold_every_trace_once_and_in_order(database: TenantDatabase, sort: Sort) -> None:
    pages = list(every_page(database, Asked(sort=sort, limit=50)))
    assert [len(p) for p in pages] == [50, 21]
    rows = [r for page in pages for r in page]
    assert len({r.trace_id for r in rows}) == TRACES + 1
    keys = [(KEYS[sort](r), r.trace_id) for r in rows]
    assert keys == sorted(keys, reverse=True)
    found = {r.trace_id: r for r in rows}
    assert found[LATE].failure_reasons == ("late",), "it came in parts, hours apart, and is whole"
    assert found[AHEAD].start_unix_ns > found[f"{TRACES - 1:032x}"].start_unix_ns


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["text ~ PARCEL zeppelin", "service_name = desk", "failing = false"], {5}),
        pytest.param(["service_name = desk", "failing = true"], {7}, marks=pytest.mark.thorough),
    ],
)
def test_conditions_find_what_meets_them_however_far_back(
    database: TenantDatabase, conditions: list[str], expected: set[int]
) -> None:
    rows = [r for page in every_page(database, Asked(where=parse_where(conditions))) for r in page]
    assert {int(r.trace_id, 16) for r in rows} == expected


@pytest.mark.usefixtures("small_windows")
def test_a_search_that_takes_long_says_how_far_it_looked_and_goes_on_from_there(database: TenantDatabase) -> None:
    clock = itertools.count(0, trace_list.LONGEST_LOOK_S)
    asked = Asked(where=parse_where(["text ~ zeppelin"]))
    page = list_page(database, asked, monotonic_s=lambda: next(clock))
    assert page.rows == ()
    assert page.looked_back_to is not None
    assert START < page.looked_back_to < START + timedelta(hours=3)
    assert page.next is not None
    (rows,) = every_page(database, replace(asked, after=page.next))
    assert [int(r.trace_id, 16) for r in rows] == [5]


def test_time_bounds_a_list(database: TenantDatabase) -> None:
    since, until = START + timedelta(minutes=60), START + timedelta(minutes=120)
    rows = list_page(database, Asked(since=since, until=until)).rows
    assert {int(r.trace_id, 16) for r in rows} == {n for n in range(TRACES) if 60 <= (n // 2) * 4 < 120}


def test_what_came_after_is_on_top_and_whole(database: TenantDatabase) -> None:
    after = START + timedelta(minutes=129)
    rows, asked, latest_ns = came_after(database, parse_where([]), int(after.timestamp() * 1e9))
    assert [int(r.trace_id, 16) for r in rows] == [69, 68, 67, 66]
    assert set(asked) == {r.trace_id for r in rows}
    again, _, still_ns = came_after(database, parse_where([]), latest_ns)
    assert (again, still_ns) == ([], latest_ns)
    hours_later = START + timedelta(minutes=185)
    assert came_after(database, parse_where([]), int(hours_later.timestamp() * 1e9))[0] == [], "what goes on is not new"
    assert latest_receipt(database, START + timedelta(hours=5)) > 0


def test_sessions_by_their_last_trace_page_by_page(database: TenantDatabase) -> None:
    seen: list[Session] = []
    after = ""
    for _ in range(10):
        page = list_sessions(database, parse_where([]), None, after=after)
        seen += page.sessions
        after = page.next
        if not after:
            break
    keys = [(s.last_unix_ns, s.key) for s in seen]
    assert keys == sorted(keys, reverse=True)
    assert len(set(keys)) == len(keys)
    assert sum(s.trace_count for s in seen) == TRACES + 1
    named = {s.key: s for s in seen if s.is_named}
    assert named["s/2"].trace_count == 3, "trace 9 names no session"
    assert named["s/2"].failing_count == 1, "the tenth fails"
    failing = list_sessions(database, parse_where([]), None, only_failing=True)
    assert {s.key for s in failing.sessions} == {s.key for s in seen if s.failing_count}


def test_a_session_reads_from_its_beginning_to_its_end(database: TenantDatabase) -> None:
    found = read_session(database, "s/1", 0)
    assert [t.asked for t in found.turns] == [question(n) for n in (4, 5, 6, 7)]
    assert [t.answered for t in found.turns] == [f"Answer {n}" for n in (4, 5, 6, 7)]
    own = read_session(database, f"{9:032x}", 0)
    assert [t.answered for t in own.turns] == ["Answer 9"]
    with pytest.raises(NotFound):
        read_session(database, f"{8:032x}", 0)  # it is of a session


@pytest.mark.parametrize("after", ["x", "1", "1_z", "1_" + "0" * 31, "nan_" + "0" * 32, "9" * 40 + "_" + "0" * 32])
def test_a_damaged_address_of_traces_says_so(after: str) -> None:
    with pytest.raises(BadInput, match="address of this page is damaged"):
        read_cursor(after)


@pytest.mark.parametrize("after", ["x", "x_eA", "-1_eA", "1_x", "1_/w8", "9" * 40 + "_eA"])
def test_a_damaged_address_of_sessions_says_so(database: TenantDatabase, after: str) -> None:
    with pytest.raises(BadInput, match="address of this page is damaged"):
        list_sessions(database, parse_where([]), None, after=after)


# the pages


@pytest.fixture(scope="module")
def served(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    refusal = {"at_unix_ns": 1, "signal": "traces", "reason": "bad_data", "words": "the body is not valid <JSON>"}
    status = {
        "state": "running",
        "endpoints": {"otlp": {"http": "127.0.0.1:4318", "grpc": "127.0.0.1:4317"}},
        "refusals": {"otlp": [{**refusal, "tenant": "default"}]},
    }
    project = tmp_path_factory.mktemp("project")
    with serving(dsn, project, status=lambda: status, auth={"mode": "none", "tenant": "default"}) as served:
        yield served


def test_the_list_keeps_what_was_asked_in_its_address(served: Served) -> None:
    with served.client() as client:
        page = client.get("/traces?state=failing&where=duration_ms+%3E+0&col=user&col=cost").text
    assert 'value="duration_ms &gt; 0"' in page
    assert "&lt;b&gt;ann&lt;/b&gt;" in page
    assert "<b>ann" not in page
    assert '<th scope="col" class=" wide">User</th>' in page
    assert "Service</th>" not in page
    assert re.search(r'href="/traces\?where=duration_ms\+%3E\+0&amp;col=user&amp;col=cost"[^>]*>All<', page)


def test_a_page_follows_the_one_before(served: Served) -> None:
    with served.client() as client:
        first = client.get("/traces").text
        onward = re.search(r'href="([^"]*after=[^"]*)"', first)
        assert onward is not None
        second = client.get(onward[1].replace("&amp;", "&")).text
    ids = [set(re.findall(r'href="/traces/([0-9a-f]{32})"', text)) for text in (first, second)]
    assert [len(i) for i in ids] == [50, 21]
    assert not ids[0] & ids[1]
    assert 'id="tail"' in first
    assert 'id="tail"' not in second


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("where=durtion_ms+%3E+1", "did you mean &#39;duration_ms&#39;"),
        ("where=duration_ms", "is not a condition"),
        ("since=yesterday", "is not a time"),
        ("after=x", "address of this page is damaged"),
    ],
)
def test_a_mistake_is_said_beside_the_form_that_keeps_it(served: Served, query: str, words: str) -> None:
    with served.client() as client:
        answer = client.get(f"/traces?{query}")
    assert answer.status_code == 400
    assert words.lower() in answer.text.lower()
    assert '<form method="get"' in answer.text
    if query.startswith("where"):
        assert "durtion_ms &gt; 1" in answer.text or 'value="duration_ms"' in answer.text


@pytest.mark.parametrize("query", ["state=x", "sort=x", "col=x", "&".join(["where=a+%3D+1"] * 21)])
def test_what_no_form_of_ours_sends_is_refused(served: Served, query: str) -> None:
    with served.client() as client:
        assert client.get(f"/traces?{query}").status_code == 400


def test_nothing_new_is_no_content_and_something_new_is_rows(served: Served) -> None:
    long_ago = int((START + timedelta(minutes=129)).timestamp() * 1e9)
    now = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1e9)
    with served.client(headers={"hx-request": "true"}) as client:
        assert client.get(f"/traces/newer?came={now}").status_code == 204
        some = client.get(f"/traces/newer?came={long_ago}&state=flagged")
        more = client.get(f"/traces/newer?came={long_ago}")
        assert client.get("/traces/newer?came=-1").status_code == 400
    assert some.status_code == 204, "none of the new ones is flagged"
    assert more.text.count('class="fresh"') == 4
    assert "came=1795" in more.text


def test_sessions_and_their_conversation_are_pages(served: Served) -> None:
    with served.client() as client:
        listed = client.get("/sessions").text
        assert 'href="/sessions/s%2F1"' in listed
        read = client.get("/sessions/s%2F1").text
        assert "Where is parcel 4?" in read
        assert client.get("/sessions/nothing%2Fhere").status_code == 404
        odd = client.get("/sessions/a%20b%3Fc%25%2F%23%22d?turn=2", headers={"hx-request": "false"})
        assert 'value="/sessions/a%20b%3Fc%25/%23%22d?turn=2"' in odd.text, "the way back is the address that was asked"


def test_the_intake_says_where_to_send_and_why_something_was_refused(served: Served) -> None:
    with served.client() as client:
        page = client.get("/waiting").text
        part = client.get("/waiting", headers={"hx-request": "true"}).text
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318" in page
    assert "the body is not valid &lt;JSON&gt;" in page
    assert "Check OTEL_EXPORTER_OTLP_PROTOCOL" in part
    assert "<html" not in part


def test_sessions_are_those_with_a_trace_that_meets_the_conditions(served: Served, database: TenantDatabase) -> None:
    every = list_sessions(database, parse_where([]), None).sessions
    with served.client() as client:

        def keys(**query: str | list[str]) -> set[str]:
            page = client.get("/sessions", params=query)
            assert page.status_code == 200
            return set(re.findall(r'href="/sessions/(s%2F\d+)"', page.text))

        assert keys(where="failing = true") == {
            s.key.replace("/", "%2F") for s in every if s.failing_count and s.is_named
        }
        assert keys(where=["text ~ zeppelin", "cost_usd > 0"]) == {"s%2F1"}
        assert keys(where="span.input_text ~ zeppelin", since="30d") <= {"s%2F1"}
        wrong = client.get("/sessions", params={"where": "nonesuch = <b>"})
    assert wrong.status_code == 400
    assert "there is no field" in wrong.text
    assert 'value="nonesuch = &lt;b&gt;"' in wrong.text
