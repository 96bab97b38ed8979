"""Pages of a project in which a team has worked: for everybody, and what they change.

Every page, light and dark: nothing serious for axe-core, nothing off the side of a telephone, a silent console. Then
issues, clusters and datasets are worked with as a browser does, by forms.
"""

from __future__ import annotations

import html
import os
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from collector.auth.key import new_key
from collector.auth.key_file import KeyFile
from evalgate.cluster.behaviour import Scope as ClusterScope
from evalgate.cluster.store import list_clusters
from evalgate.database import TenantDatabase
from evalgate.dataset.quarantine import add_drafts
from evalgate.dataset.store import DATASETS, read_cases
from evalgate.figures import percent
from evalgate.issues.modes import list_modes, read_taxonomy
from evalgate.queue.definition import Queue
from evalgate.queue.fill import fill
from evalgate.queue.store import close_queue, create_queue, list_queues
from evalgate.queue.yields import measure_yield
from evalgate.review.actor import user_name
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.review.labels import draft, save
from evalgate.signals.weights import Weights
from evalgate.stats.estimate import rates
from evalgate.stats.measures import FAILING
from evalgate.stats.read import read_groups
from evalgate.web.traffic import part_of, read_traffic, window_of
from exporters.clickhouse.connect import connect
from schema.case import case_id_of
from schema.draft import Method, Synthesis
from schema.identity import Scope
from schema.verdict import Label, Verdict
from tests.tools.fetch_axe import axe
from tests.tools.fetch_chserver import Unavailable
from tests.web.fortnight import DATASET, QUEUE, UNCOMMITTED, Fortnight, fortnight
from tests.web.seeding import REVIEWERS
from tests.web.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from tests.fixtures_browser import Browsed

SERIOUS = ("serious", "critical")


def taken(lived: Fortnight) -> str:
    """Reserve an item, and return where its form is."""
    with visitor_named(lived, "") as client:
        return client.post(f"/queues/{QUEUE}/take", data={"to": ""}).headers["location"]


PAGES: dict[str, Callable[[Fortnight], str]] = {
    "dashboard": lambda _: "/",
    "traces": lambda _: "/traces",
    "trace": lambda f: f"/traces/{f.trace.trace_id}",
    "sessions": lambda _: "/sessions",
    "waiting": lambda _: "/waiting",
    "queues": lambda _: "/queues",
    "review": lambda _: f"/queues/{QUEUE}",
    "items": lambda _: f"/queues/{QUEUE}/items",
    "issues": lambda _: "/issues?state=all",
    "issue": lambda f: f"/issues/{f.issue}",
    "modes": lambda _: "/modes",
    "clusters": lambda _: "/clusters",
    "cluster": lambda f: f"/clusters/{f.cluster}",
    "novel": lambda _: "/clusters/novel",
    "datasets": lambda _: "/datasets",
    "dataset": lambda _: f"/datasets/{DATASET}",
    "missing": lambda _: "/issues/999",
    "definition": lambda _: f"/queues/{QUEUE}/edit",
    "runner": taken,
    "results": lambda _: f"/queues/{QUEUE}/results",
    "session": lambda f: f"/sessions/{f.session}",
    "span": lambda f: f"/traces/{f.trace.trace_id}/spans/{f.trace.spans[0]['spanId']}",
    "signals": lambda f: f"/traces/{f.trace.trace_id}/signals",
    "diff": lambda _: f"/datasets/{DATASET}/diff",
}
SIMPLE = ("sessions", "waiting", "items", "modes", "clusters", "novel", "datasets", "missing", "results", "span")
"""Pages that are made of what others are made of, too: looked at in thorough runs."""
SHOWN = {
    "definition": "#weight-refusal",
    "runner": "#label-form",
    "results": "h2",
    "diff": "details.change[open]",
    "issue": "form",
    "queues": "#where",
}
"""What must be there, lest something else is looked at."""
OPEN_ALL = "for (const d of document.querySelectorAll('details')) d.open = true"
FULL = "axe.run(document, {resultTypes: ['violations']})"
CONTRAST = "axe.run(document, {resultTypes: ['violations'], runOnly: ['color-contrast']})"


@pytest.fixture(scope="module")
def axe_source() -> str:
    try:
        return axe().read_text("utf-8")
    except Unavailable as e:
        if os.environ.get("CI") == "true":
            pytest.fail(str(e))
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def lived(embedded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortnight]:
    """Serve the pages of a project in which a team has worked."""
    name = f"t_{uuid.uuid4().hex}"
    dsn = f"chdb://{embedded_folder}?database={name}"
    with fortnight(dsn, tmp_path_factory.mktemp("project")) as found:
        yield found
    with connect(dsn) as opened:
        opened.command(f"DROP DATABASE `{name}` SYNC")


def serious(found: Any) -> list[tuple[str, str, Any]]:
    return [
        (v["id"], v["help"], [(n["target"], n["failureSummary"][:200]) for n in v["nodes"]][:4])
        for v in found["violations"]
        if v["impact"] in SERIOUS
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough) if name in SIMPLE else name for name in PAGES]
)
def test_a_page_is_for_everybody(browsed: Browsed, lived: Fortnight, axe_source: str, name: str) -> None:
    page = browsed.page
    answer = page.goto(lived.served.url + PAGES[name](lived))
    assert answer is not None
    assert answer.status == (404 if name == "missing" else 200)
    page.wait_for_load_state()
    page.locator(SHOWN.get(name, "h1")).first.wait_for(state="attached")
    look_at(browsed, axe_source)
    said = [s for s in browsed.seen.said if "404" not in s or name != "missing"]
    assert (said, browsed.seen.dialogs) == ([], [])
    assert all(a.startswith(lived.served.url) for a in browsed.seen.asked)


def test_so_is_the_one_where_keys_are_asked_for(
    browsed: Browsed, lived: Fortnight, axe_source: str, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    _, kept = new_key(tenant="default", scopes=frozenset({Scope.REVIEW}), name="ann", now_unix_s=0)
    keys.add(kept)
    with serving(lived.dsn, tmp_path, auth={"mode": "keys", "keys_file": keys.path}) as guarded:
        browsed.page.goto(f"{guarded.url}/traces")
        browsed.page.locator("input[name=key]").wait_for()
        look_at(browsed, axe_source)
    assert (browsed.seen.said, browsed.seen.dialogs) == ([], [])


def look_at(browsed: Browsed, axe_source: str) -> None:
    """Assert that nothing serious is on the page, light and dark, and nothing off the side of a telephone."""
    page = browsed.page
    page.evaluate(OPEN_ALL)
    page.evaluate(axe_source)
    found = page.evaluate(FULL)
    assert not serious(found)
    assert len(found["passes"]) > 10
    page.emulate_media(color_scheme="dark")
    assert not serious(page.evaluate(CONTRAST))
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for tab in page.locator("header [aria-current]").all():
        at = tab.bounding_box()
        assert at is not None
        assert at["x"] + at["width"] <= 360


def visitor_named(lived: Fortnight, name: str) -> httpx.Client:
    """Return what sends forms as a browser does from a page of ours; without a name it is whoever runs the tests."""
    headers = {"origin": lived.served.url, "sec-fetch-site": "same-origin"}
    return lived.served.client(headers=headers, cookies={"evalgate-name": name} if name else {})


@pytest.fixture
def visitor(lived: Fortnight) -> Iterator[httpx.Client]:
    with visitor_named(lived, "") as client:
        yield client


@pytest.fixture
def database(lived: Fortnight) -> Iterator[TenantDatabase]:
    with connect(lived.dsn) as opened:
        yield TenantDatabase(opened, "default")


def test_an_issue_is_moved_with_a_reason_and_by_whom(visitor: httpx.Client, lived: Fortnight) -> None:
    path = f"/issues/{lived.issue}/move"
    refused = visitor.post(path, data={"to": "archived", "reason": " "})
    assert refused.status_code == 400
    assert "say why" in refused.text
    assert visitor.post(path, data={"to": "covered"}).status_code == 400
    moved = visitor.post(path, data={"to": "archived", "reason": "no longer sold"})
    assert (moved.status_code, moved.headers["location"]) == (303, f"/issues/{lived.issue}")
    shown = visitor.get(f"/issues/{lived.issue}").text
    assert "no longer sold" in shown
    assert user_name() in shown


def test_each_case_of_an_issue_leads_to_its_trace(visitor: httpx.Client, database: TenantDatabase) -> None:
    made_of = {
        m.issue: [r.case.provenance.trace_id for r in list_cases(database, failure_mode=m.name)]
        for m in list_modes(database)
    }
    number, made = max(made_of.items(), key=lambda item: len(item[1]))
    assert len(made) > 1
    told = re.search(r"<h2>Cases</h2>(.*?)<h2>", visitor.get(f"/issues/{number}").text, re.DOTALL)
    assert told is not None
    assert set(re.findall(r'href="/traces/([0-9a-f]{32})"', told[1])) == set(made)


def test_several_issues_are_moved_and_who_cannot_be_is_named(visitor: httpx.Client, database: TenantDatabase) -> None:
    modes = [m for m in list_modes(database) if m.labels]
    chosen = [m.issue for m in modes[-2:]]
    assert visitor.post("/issues/bulk", data={"to": "ignored", "issue": chosen}).status_code == 400
    assert visitor.post("/issues/bulk", data={"to": "ignored", "issue": chosen, "reason": "rare"}).status_code == 303
    again = visitor.post("/issues/bulk", data={"to": "ignored", "issue": chosen, "reason": "rare"})
    assert again.status_code == 400
    assert f"issue {chosen[0]} is ignored already" in again.text
    assert visitor.post("/issues/bulk", data={"to": "ignored"}).status_code == 400


def test_a_mode_is_renamed_and_the_change_taken_back(visitor: httpx.Client, database: TenantDatabase) -> None:
    mode = list_modes(database)[0]
    assert visitor.post("/modes/rename", data={"mode": mode.name, "name": "<b>renamed</b>"}).status_code == 303
    page = visitor.get("/modes").text
    assert 'href="/issues" aria-current="page"' in page
    assert "&lt;b&gt;renamed&lt;/b&gt;" in page
    assert "<b>renamed" not in page
    change = read_taxonomy(database).changes[-1].number
    assert visitor.post("/modes/undo", data={"change": str(change)}).status_code == 303
    assert mode.name in {m.name for m in list_modes(database)}


@pytest.mark.parametrize("by", ["issue", "mode"])
def test_an_issue_is_merged_into_another_and_that_is_taken_back(
    visitor: httpx.Client, lived: Fortnight, database: TenantDatabase, by: str
) -> None:
    into, one = sorted(list_modes(database), key=lambda m: -m.labels)[:2]
    path, form = (
        (f"/issues/{one.issue}/merge", {"into": into.issue})
        if by == "issue"
        else ("/modes/merge", {"issue": one.issue, "into": into.issue})
    )
    assert visitor.post(path, data={**form, "into": one.issue}).status_code == 400
    done = visitor.post(path, data={**form, "reason": "one and the same"})
    assert (done.status_code, done.headers["location"]) == (303, f"/issues/{into.issue}" if by == "issue" else "/modes")
    merged = {m.issue: m.labels for m in list_modes(database)}
    assert (one.issue in merged, merged[into.issue]) == (False, into.labels + one.labels)
    assert "one and the same" in visitor.get("/modes").text
    old = visitor.get(f"/issues/{one.issue}")
    assert (old.status_code, f'href="/issues/{into.issue}">issue {into.issue}' in old.text) == (200, True)
    change = read_taxonomy(database).changes[-1].number
    assert visitor.post("/modes/undo", data={"change": str(change)}).status_code == 303
    assert {m.issue: m.labels for m in list_modes(database)}[one.issue] == one.labels


def test_the_dashboard_says_what_is_covered_and_what_queues_yield(lived: Fortnight, database: TenantDatabase) -> None:
    known = {r["trace_id"] for r in database.rows("SELECT trace_id FROM annotations_latest")}
    traces = [t for t in lived.told if t.trace_id not in known][:2]
    yielding = create_queue(database, Queue("yielding"), actor="ada")
    added = {"queue": "yielding", "event": "added", "is_priority": True}
    database.insert_rows("queue_items", [{**added, "trace_id": t.trace_id, "score": 1.0} for t in traces])
    for one, verdict in zip(traces, (Verdict.BAD, Verdict.GOOD), strict=True):
        mode = "of the yield" if verdict is Verdict.BAD else None
        save(database, [draft(database, Label(one.trace_id, "", verdict, mode, annotator="ada", queue="yielding"))])
    of = measure_yield(database).of_priority
    assert measure_yield(database, yielding).of_priority.bad == 1
    # Another service: the first one keeps for a minute what it showed.
    with serving(lived.dsn, lived.served.folder) as served, served.client() as client:
        told = words_of(client.get("/").text)
    assert "% of the labelled failures are looked for" in told
    assert f"{percent(of.rate)} of what priority chose fails ({of.bad} of {of.reviewed}" in told


def words_of(page: str) -> str:
    """Return what a page says, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_some_traces_of_an_issue_are_split_off(visitor: httpx.Client, database: TenantDatabase) -> None:
    mode = max(list_modes(database), key=lambda m: m.labels)
    sql = "SELECT DISTINCT trace_id FROM annotations_latest WHERE failure_mode = {mode:String} ORDER BY trace_id"
    traces = [r["trace_id"] for r in database.rows(sql, {"mode": mode.name})]
    form = {"into": "split off", "trace": traces[:1], "reason": "another thing"}
    assert visitor.post(f"/issues/{mode.issue}/split", data={**form, "trace": []}).status_code == 400
    assert visitor.post(f"/issues/{mode.issue}/split", data=form).status_code == 303
    assert "split off" in {m.name for m in list_modes(database)}
    assert len(database.rows(sql, {"mode": mode.name})) == len(traces) - 1


def test_a_cluster_lists_what_it_counts(visitor: httpx.Client, lived: Fortnight, database: TenantDatabase) -> None:
    (cluster,) = (s for s in list_clusters(database, ClusterScope.FAILING) if s.cluster.id == lived.cluster)
    of_run = "SELECT any(run_id) AS run_id FROM cluster_runs WHERE number = {number:UInt32}"
    (run,) = database.rows(of_run, {"number": cluster.number})
    own = {**run, "number": cluster.number, "scope": "failing", "cluster_id": lived.cluster}
    earlier = {**own, "trace_id": "ee" * 16, "in_window": False, "sample_weight": 1.0}
    database.insert_rows("cluster_members", [{**earlier, "start_time": datetime(2026, 1, 1, tzinfo=UTC)}])
    told = visitor.get(f"/clusters/{lived.cluster}?traces=all").text
    assert "1 more from before the run" in told
    assert "Jan" not in told, "it has no bar of its own"
    assert ">eeeeee" not in told


def test_a_queue_is_made_of_a_cluster_once(visitor: httpx.Client, lived: Fortnight, database: TenantDatabase) -> None:
    made = visitor.post(f"/clusters/{lived.cluster}/queue")
    assert (made.status_code, made.headers["location"]) == (303, f"/queues/cluster-{lived.cluster}")
    assert visitor.post(f"/clusters/{lived.cluster}/queue").headers["location"] == made.headers["location"]
    (queue,) = (q for q in list_queues(database) if q.clusters == (lived.cluster,))
    sql = "SELECT DISTINCT actor FROM queue_items WHERE queue = {queue:String}"
    assert [r["actor"] for r in database.rows(sql, {"queue": queue.name})] == [user_name()]
    close_queue(database, queue, actor="ada")
    assert "Open its queue again" in visitor.get(f"/clusters/{lived.cluster}").text
    visitor.post(f"/clusters/{lived.cluster}/queue")
    assert [q.is_open for q in list_queues(database) if q.clusters == (lived.cluster,)] == [True]


def test_a_case_is_promoted_with_a_reason(visitor: httpx.Client, database: TenantDatabase) -> None:
    waiting = [r.case.case_id for r in list_cases(database, status=CaseStatus.QUARANTINED)]
    assert visitor.post("/datasets/promote", data={"case": waiting[:1]}).status_code == 400
    done = visitor.post("/datasets/promote", data={"case": waiting[:1], "reason": "met in production"})
    assert done.status_code == 303
    left = [r.case.case_id for r in list_cases(database, status=CaseStatus.QUARANTINED)]
    assert left == [w for w in waiting if w != waiting[0]]
    gone = visitor.post("/datasets/promote", data={"case": waiting[:1], "reason": "again"})
    assert gone.status_code == 400


def test_while_several_label_a_trace_no_list_tells_what_one_said(
    visitor: httpx.Client, lived: Fortnight, database: TenantDatabase
) -> None:
    known = {r["trace_id"] for r in database.rows("SELECT trace_id FROM annotations_latest")}
    one = next(t for t in lived.told if t.trace_id not in known)
    pair = create_queue(database, Queue("pair", where=(f"trace_id = {one.trace_id}",), reviewers=2), actor="ada")
    assert fill(database, pair, weights=Weights()).added == 1
    said = Label(one.trace_id, "", Verdict.BAD, "seen by one", annotator=REVIEWERS[0], queue="pair")
    save(database, [draft(database, said)])
    case = case_id_of(one.trace_id, "")
    number = next(m.issue for m in list_modes(database) if m.name == "seen by one")
    assert case not in visitor.get("/datasets").text
    assert one.trace_id not in visitor.get(f"/issues/{number}").text
    assert visitor.post("/datasets/promote", data={"case": [case], "reason": "unseen"}).status_code == 400
    with visitor_named(lived, REVIEWERS[0]) as own:
        assert case in own.get("/datasets").text
        assert one.trace_id in own.get(f"/issues/{number}").text


def test_versions_are_compared_where_an_older_one_can_be_read(visitor: httpx.Client) -> None:
    link = f"/datasets/{DATASET}/diff"
    assert f'href="{link}"' in visitor.get(f"/datasets/{DATASET}").text
    shown = visitor.get(link)
    assert "2 added 1 changed 1 removed" in words_of(shown.text)
    assert "read again" in shown.text
    # Two builds and no commit: of the older one only figures are known.
    built = visitor.get(f"/datasets/{UNCOMMITTED}").text
    assert "only its figures are known" in built
    assert "/diff" not in built
    assert visitor.get(f"/datasets/{UNCOMMITTED}/diff").status_code == 400


def test_nobody_promotes_a_draft_of_his_own(visitor: httpx.Client, lived: Fortnight) -> None:
    root = lived.served.folder / DATASETS
    source = read_cases(root / f"{DATASET}.jsonl")[0]
    made = Synthesis(source.case_id, source.content_hash, Method.TEMPLATE, "typos", "many", "1", 0, keeps_meaning=True)
    for name, who in (("case-own", user_name()), ("case-other", "grace")):
        provenance = replace(source.provenance, drafted_by=who, synthesis=made)
        add_drafts(DATASET, [replace(source, case_id=name, provenance=provenance)], root)
    form = {"reason": "customers write so"}
    refused = visitor.post(f"/datasets/{DATASET}/promote", data={**form, "case": ["case-own", "case-other"]})
    assert refused.status_code == 400
    assert "nobody lets in his own drafts" in refused.text
    assert visitor.post(f"/datasets/{DATASET}/promote", data={**form, "case": ["case-other"]}).status_code == 303
    known = {c.case_id for c in read_cases(root / f"{DATASET}.jsonl")}
    assert "case-other" in known
    assert "case-own" not in known


@pytest.mark.parametrize(
    "path", ["/datasets/nonesuch", "/datasets/..%2Fissues", "/clusters/7x", "/clusters/" + "9" * 5000, "/issues/0x1"]
)
def test_what_is_not_there_is_not_found(visitor: httpx.Client, path: str) -> None:
    assert visitor.get(path).status_code == 404


def test_a_form_from_elsewhere_changes_nothing(lived: Fortnight) -> None:
    with lived.served.client(headers={"origin": "https://evil.example", "sec-fetch-site": "cross-site"}) as client:
        done = client.post(f"/issues/{lived.issue}/move", data={"to": "reopened", "reason": "x"})
    assert done.status_code == 403


def test_the_dashboards_rate_is_that_of_evalgate_stats(visitor: httpx.Client, database: TenantDatabase) -> None:
    now = datetime.now(UTC)
    found = read_traffic(database, now, 14, "feature")
    assert found is not None
    (whole,) = read_groups(database, part_of(window_of(now, 14), 1), None)
    told = rates(whole.of(FAILING))
    assert found.failing.rate == pytest.approx(float(told.rate[0]))
    assert found.failing.low == pytest.approx(float(told.low[0]), abs=0.002)
    assert (
        sum(g.traces for g in found.groups)
        == pytest.approx(found.traces)
        == pytest.approx(sum(d.traces for d in found.days))
    )
    assert percent(found.failing.rate) in visitor.get("/").text


def test_a_part_of_the_traces_tells_of_all(database: TenantDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    whole = read_traffic(database, now, 14, "service_name")
    monkeypatch.setattr("evalgate.web.traffic.MOST_TRACES", 40)
    part = read_traffic(database, now, 14, "service_name")
    assert whole is not None
    assert part is not None
    assert part.one_in > 1
    assert not part.is_exact
    assert part.traces == pytest.approx(whole.traces, rel=0.5)
    assert part.failing.high > whole.failing.high
