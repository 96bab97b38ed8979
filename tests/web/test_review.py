"""The page of a trace and the queue runner; in a real browser a reviewer labels ten traces by the keyboard alone."""

from __future__ import annotations

import json
import re
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from evalgate.database import TenantDatabase
from evalgate.queue.definition import Queue
from evalgate.queue.items import find_item, list_items
from evalgate.queue.reserve import take
from evalgate.queue.store import create_queue, find_queue, history
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.evalgate.traffic import Traffic
from tests.web.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from exporters.clickhouse.connect import Database
    from tests.fixtures_browser import Browsed
    from tests.web.serving import Served

TEN = [f"{n:02x}" * 16 for n in range(1, 11)]
MORE = [f"{n:02x}" * 16 for n in range(0xA1, 0xA5)]
ELSEWHERE = [f"{n:02x}" * 16 for n in range(0xE0, 0xF4)]
GIVEN = ["b1" * 16, "b2" * 16]
ONE = Queue("ten", where=("feature = refunds",))
TWO = Queue("pair", reviewers=2)


@dataclass(frozen=True, slots=True)
class Place:
    """The pages over a database with ten failed traces and some more, and the database."""

    served: Served
    database: TenantDatabase

    def labels(self, annotator: str) -> list[dict[str, object]]:
        columns = "trace_id, verdict, failure_mode, severity, comment, corrected_output, anchor, queue, role"
        return self.database.rows(
            f"SELECT {columns} FROM tenant_annotations(tenant = {{tenant:String}}) "
            "WHERE annotator = {who:String} ORDER BY created_at",
            {"who": annotator},
        )


@pytest.fixture(scope="module")
def opened(embedded_folder: Path) -> Iterator[tuple[Database, str]]:
    dsn = f"chdb://{embedded_folder}?database=t_{uuid.uuid4().hex}"
    with connect(dsn) as db:
        migrate(db)
        yield db, dsn


@pytest.fixture(scope="module")
def place(opened: tuple[Database, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    db, dsn = opened
    database = TenantDatabase(db, "default")
    traffic = Traffic(database)
    for trace_id in TEN:
        traffic.refund(trace_id)
    for trace_id in MORE:
        traffic.trace(
            trace_id, [{"input_text": "hi", "output_text": "yo", "failing": True, "failure_reasons": ["odd"]}]
        )
    for queue, traces in ((ONE, TEN), (TWO, [*TEN, *MORE])):
        create_queue(database, queue, actor="test")
        added = {"queue": queue.name, "event": "added", "is_priority": True}
        rows = [{**added, "trace_id": t, "score": float(n)} for n, t in enumerate(traces)]
        database.insert_rows("queue_items", rows)
    with serving(dsn, tmp_path_factory.mktemp("project")) as served:
        yield Place(served, database)


def visit(browsed: Browsed, place: Place, name: str, path: str) -> Page:
    """Open a page as a reviewer of this name."""
    page = browsed.page
    page.context.add_cookies([{"name": "evalgate-name", "value": name, "url": place.served.url}])
    page.goto(place.served.url + path)
    return page


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def after(page: Page, *keys: str) -> str:
    """Press keys of which the last one leads to another page; return the trace that is shown then."""
    with page.expect_navigation():
        press(page, *keys)
    found = re.search(r"trace=([0-9a-f]{32})", page.url)
    return found[1] if found else ""


def test_ten_traces_are_labelled_by_keyboard_alone(browsed: Browsed, place: Place) -> None:
    page, known = visit(browsed, place, "ada", "/queues/ten"), "invents a window"
    seen = [after(page, "Enter")]
    # The first failure mode is new, and typed; from then on it is 1.
    press(page, "b", "/")
    page.keyboard.type("invents a window")
    press(page, "Enter", "v", "h", "c")
    page.keyboard.type("the policy says 30 days")
    seen.append(after(page, "Control+Enter"))
    # What it should have said begins as what it said.
    press(page, "p", "1", "e", "Control+End")
    page.keyboard.type(" Or 30?")
    seen.append(after(page, "Control+Enter"))
    # A failure mode says that it is bad; good takes it back.
    press(page, "1", "v", "c", "g")
    seen.append(after(page, "Enter"))
    # Skipped, and seen again in the end.
    skipped = seen.pop()
    seen.append(after(page, "s"))
    for _ in range(5):
        press(page, "b", "1", "v", "l")
        seen.append(after(page, "Enter"))
    # A name that only begins as a known one does is a new one, unless the arrow picks the known one.
    press(page, "/")
    page.keyboard.type("invents")
    assert "Enter: new mode “invents”" in page.locator("#mode-hint").inner_text()
    press(page, "Enter")
    assert page.locator("#other-mode").input_value() == "invents"
    assert page.locator("[name=mode]:checked").input_value() == ""
    press(page, "/", "ArrowDown", "Enter")
    assert page.locator("[name=mode]:checked").input_value() == known
    # Another mode becomes the most frequent one meanwhile: keys stay where they are for a sitting.
    popular = {"verdict": "bad", "annotator": "rita", "failure_mode": "popular"}
    place.database.insert_rows("annotations", [{**popular, "annotation_id": t, "trace_id": t} for t in ELSEWHERE])
    # The last label is undone, and what was typed stands in the form again.
    press(page, "b", "1", "v", "m", "c")
    page.keyboard.type("second thoughts")
    seen.append(after(page, "Control+Enter"))
    undone = after(page, "u")
    assert undone == seen[-2]
    assert page.locator("#comment").input_value() == "second thoughts"
    assert page.locator("#mode-list").inner_text().split() == ["none", "0", *known.split(), "1", "popular", "2"]
    press(page, "g")
    assert after(page, "Enter") == skipped
    press(page, "b", "1")
    assert after(page, "Enter") == ""
    assert "Nothing waits for you" in page.locator("main").inner_text()

    labels = place.labels("ada")
    assert {str(x["trace_id"]) for x in labels} == set(TEN)
    said = [(x["verdict"], x["failure_mode"], x["severity"]) for x in labels]
    low = ("bad", "invents a window", "low")
    assert said == [
        ("bad", "invents a window", "high"),
        ("partial", "invents a window", ""),
        ("good", "", ""),
        *[low] * 5,
        ("good", "", ""),
        ("bad", "invents a window", ""),
    ]
    assert labels[0]["comment"] == "the policy says 30 days"
    assert labels[1]["corrected_output"] == "You have 90 days. Or 30?"
    assert {x["queue"] for x in labels} == {"ten"}
    # Each has landed in the golden dataset; the last one does so once its answer was sent.
    golden, deadline = place.served.folder / "evals/golden/labels.jsonl", time.monotonic() + 30
    while not golden.is_file() or golden.read_text("utf-8").count("\n") < len(TEN):
        assert time.monotonic() < deadline, "the golden dataset lacks labels"
        page.wait_for_timeout(20)
    assert (browsed.seen.said, browsed.seen.dialogs) == ([], [])


def test_words_that_are_selected_are_what_a_label_is_about(browsed: Browsed, place: Place) -> None:
    page = visit(browsed, place, "grace", "/queues/pair")
    trace_id = after(page, "Enter")
    page.evaluate(
        """() => {
            const text = document.querySelector('#answer [data-text]').firstChild;
            document.getSelection().setBaseAndExtent(text, 9, text, 16);
        }"""
    )
    page.locator("#add-place:enabled").wait_for()
    press(page, "a", "b")
    assert page.locator("#places q").inner_text() == "90 days"
    # A reload loses nothing, and what is kept in the browser holds no word of the conversation.
    press(page, "e")
    page.keyboard.type("Sorry. ")
    page.reload()
    assert page.locator("#places input").is_checked()
    assert page.locator("#corrected").input_value() == "You have 90 days.Sorry. "
    kept = page.evaluate("JSON.stringify(localStorage)")
    assert "Sorry. " in kept
    assert "90 days" not in kept
    after(page, "Control+Enter")
    (label,) = [x for x in place.labels("grace") if x["trace_id"] == trace_id]
    assert '"quote": "90 days"' in str(label["anchor"])


def test_what_somebody_else_took_is_not_saved_and_nothing_typed_is_lost(browsed: Browsed, place: Place) -> None:
    page = visit(browsed, place, "joan", "/queues/pair")
    trace_id = after(page, "Enter")
    press(page, "b", "c")
    page.keyboard.type("mine")
    held = next(i for i in list_items(place.database, TWO) if i.trace_id == trace_id)
    assert held.reserved_until is not None
    assert take(place.database, TWO, "hedy", held.reserved_until, trace_id=trace_id) is not None
    with place.served.client(cookies={"evalgate-name": "joan"}) as client:
        lost = client.post("/queues/pair/extend", data={"trace": trace_id})
    assert lost.status_code == httpx.codes.CONFLICT
    assert "is with hedy" in lost.json()["lost"]
    with page.expect_navigation():
        press(page, "Control+Enter")
    assert "is with hedy" in page.locator("[role=alert]").first.inner_text()
    assert not [x for x in place.labels("joan") if x["trace_id"] == trace_id]
    kept = page.evaluate("localStorage.getItem(`evalgate-draft/pair/${trace}/joan`)".replace("${trace}", trace_id))
    assert '"comment":"mine"' in kept


@dataclass(frozen=True, slots=True)
class Plain:
    """A reviewer whose browser runs no scripts."""

    client: httpx.Client

    def take(self, queue: str, trace_id: str = "") -> httpx.Response:
        return self.client.post(f"/queues/{queue}/take", data={"to": trace_id})

    def label(self, queue: str, page: httpx.Response, **said: str) -> httpx.Response:
        found = {name: re.findall(rf'name="{name}" value="([0-9a-f]+)"', page.text)[0] for name in ("trace", "token")}
        return self.client.post(f"/queues/{queue}/label", data={**found, **said})


@pytest.fixture
def plain(place: Place) -> Iterator[Callable[[str], Plain]]:
    """Make reviewers by name."""
    with ExitStack() as stack:

        def named(name: str) -> Plain:
            client = place.served.client(cookies={"evalgate-name": name}, follow_redirects=True)
            return Plain(stack.enter_context(client))

        yield named


def test_without_javascript_a_label_is_a_form_and_twice_is_once(place: Place, plain: Callable[[str], Plain]) -> None:
    hand = plain("plain")
    page = hand.take("pair")
    (trace_id,) = re.findall(r"trace=([0-9a-f]{32})", str(page.url))
    assert hand.client.post("/queues/pair/extend", data={"trace": trace_id}).json() == {"seconds": TWO.reserve_s}
    form = {"verdict": "bad", "other_mode": "invents a window", "mode": "", "about": "1", "comment": "a\r\nb"}
    missing = hand.label("pair", page, **{**form, "verdict": ""})
    assert missing.status_code == httpx.codes.BAD_REQUEST
    assert "choose a verdict first" in missing.text
    assert 'value="invents a window"' in missing.text
    for _ in range(2):
        assert hand.label("pair", page, **form).status_code == httpx.codes.OK
    (label,) = place.labels("plain")
    assert (label["verdict"], label["comment"]) == ("bad", "a\nb")
    assert '"message": 1' in str(label["anchor"])


def test_a_failure_mode_that_is_like_a_known_one_is_asked_back(place: Place, plain: Callable[[str], Plain]) -> None:
    hand = plain("vera")
    known = {"annotation_id": "d0" * 16, "trace_id": "d0" * 16, "verdict": "bad", "annotator": "rita"}
    place.database.insert_rows("annotations", [{**known, "failure_mode": "refund_claimed"}])
    page = hand.take("pair")
    said = {"verdict": "bad", "other_mode": "Refund  claimd", "comment": "told so"}
    asked = hand.label("pair", page, **said)
    assert asked.status_code == httpx.codes.BAD_REQUEST
    assert ">told so</textarea>" in asked.text.replace("\n", "")
    answers = dict(re.findall(r'name="(like|is_new)" value="([^"]*)"', asked.text))
    assert answers == {"like": "refund_claimed", "is_new": "Refund claimd"}
    # An answer to another question is none.
    again = hand.label("pair", asked, **said, like="invents a window")
    assert (again.status_code, place.labels("vera")) == (httpx.codes.BAD_REQUEST, [])
    following = hand.label("pair", again, **said, like=answers["like"])
    hand.label("pair", following, **said, is_new=answers["is_new"])
    assert [x["failure_mode"] for x in place.labels("vera")] == ["refund_claimed", "Refund claimd"]


@pytest.mark.thorough
def test_nobody_sees_what_others_said_before_he_said_it_himself_and_who_decides_sees_all(
    place: Place, plain: Callable[[str], Plain]
) -> None:
    trace_id = next(i.trace_id for i in list_items(place.database, TWO) if not i.labelled_by)
    first, second, third = (plain(name) for name in ("mary", "lise", "emmy"))
    first.label(
        "pair", first.take("pair", trace_id), verdict="bad", comment="as mary sees it", other_mode="mary's mode"
    )
    assert "as mary sees it" in first.client.get(f"/traces/{trace_id}").text
    hidden = second.client.get(f"/traces/{trace_id}").text
    assert "Others have labelled this trace" in hidden
    modes = place.database.rows("SELECT number FROM issues WHERE failure_mode = 'mary''s mode'")
    assert "1 is still under blind review" in second.client.get(f"/issues/{modes[0]['number']}").text
    page = second.take("pair", trace_id)
    assert "as mary sees it" not in hidden + page.text
    second.label("pair", page, verdict="good", comment="as lise sees it")
    assert "as mary sees it" not in second.client.get(f"/traces/{trace_id}").text
    told = third.client.get("/queues/pair").text
    assert re.search(r"For you, emmy: \d+ to label, \d+ to decide", told), told
    page = third.take("pair", trace_id)
    assert "They differ: you decide" in page.text
    assert "as mary sees it" in page.text
    assert "as lise sees it" in page.text
    third.label("pair", page, verdict="bad", comment="decided")
    assert [x["role"] for x in place.labels("emmy")] == ["adjudication"]
    assert "as mary sees it" in second.client.get(f"/traces/{trace_id}").text


def test_the_page_of_a_trace_is_found_by_the_beginning_of_its_id(place: Place) -> None:
    with place.served.client(follow_redirects=True) as client:
        page = client.get("/traces/0101")
        assert page.url.path == f"/traces/{TEN[0]}"
        assert f'href="/queues/ten?trace={TEN[0]}">Label it in ten' in page.text
        assert "Label it in ten" not in client.get(f"/traces/{MORE[0]}").text
        for words in (
            "Can I return my shoes?",
            "You have 90 days.",
            "tool_error",
            "critical path",
            "execute_tool policy",
        ):
            assert words in page.text, words
        assert client.get("/traces/abcd").status_code == httpx.codes.NOT_FOUND
        assert client.get(f"/traces/{TEN[0]}/spans/00000000000000ff").status_code == httpx.codes.NOT_FOUND
        span = client.get(f"/traces/{TEN[0]}/spans/0000000000000002")
        assert "Timeout" in span.text
        otlp = client.get(f"/traces/{TEN[0]}/otlp.json")
    assert otlp.headers["content-disposition"] == f'attachment; filename="{TEN[0]}.otlp.json"'
    spans = otlp.json()["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {s["traceId"] for s in spans} == {TEN[0]}


def test_the_trace_is_copied_as_it_is_downloaded(browsed: Browsed, place: Place) -> None:
    browsed.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit(browsed, place, "ada", f"/traces/{TEN[0]}")
    page.get_by_text("Copy as OTLP").click()
    page.get_by_text("Copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    with place.served.client() as client:
        assert client.get(f"/traces/{TEN[0]}/otlp.json").json() == copied
    assert (browsed.seen.said, browsed.seen.dialogs) == ([], [])


def test_an_item_whose_trace_is_gone_is_told_and_does_not_stand_in_the_way(
    place: Place, plain: Callable[[str], Plain]
) -> None:
    gone = "cd" * 16
    place.database.insert_rows("queue_items", [{"queue": "pair", "trace_id": gone, "event": "added", "score": 1e6}])
    maria = plain("maria")
    assert "nothing is left" in maria.client.get(f"/queues/pair?trace={gone}").text
    assert 'id="label-form"' in maria.take("pair").text


@pytest.mark.thorough
def test_what_was_removed_stays_out_until_it_is_put_back(place: Place, plain: Callable[[str], Plain]) -> None:
    rosa = plain("rosa")
    items = list_items(place.database, TWO)
    trace_id = next(i.trace_id for i in items if i.trace_id in MORE and not i.labelled_by and not i.reserved_by)
    rosa.take("pair", trace_id)
    assert rosa.client.post("/queues/pair/remove", data={"trace": trace_id, "reason": " "}).status_code == 400
    rosa.client.post("/queues/pair/remove", data={"trace": trace_id, "reason": "a test of ours"})
    filled = rosa.client.post("/queues/pair/fill", data={"fill": ""})
    assert filled.status_code == httpx.codes.OK
    assert trace_id in rosa.client.get("/queues/pair/items?state=removed").text
    assert "was removed from the queue" in rosa.client.get(f"/queues/pair?trace={trace_id}").text
    rosa.client.post("/queues/pair/restore", data={"trace": trace_id})
    assert trace_id not in rosa.client.get("/queues/pair/items?state=removed").text


def test_a_queue_is_made_and_changed_by_forms(place: Place, plain: Callable[[str], Plain]) -> None:
    client = plain("ines").client
    Traffic(place.database).refund("b3" * 16)
    offered = re.findall(r'name="([a-z_-]+)"', client.get("/queues").text)
    said = {
        "where": "feature = refunds", "random": "0", "size": "3", "rules": "feature = refunds -> ann\n",
        "weight-refusal": "77", "signals": "failure", "instructions": "</textarea><b>look</b>",
    }  # fmt: skip
    assert {*said, "name", "text", "issues", "clusters", "adjudicators", "reserve", "reviewers"} <= set(offered)
    refused = client.post("/queues", data={**said, "name": "formed", "issues": "999"})
    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert "there is no issue 999" in refused.text
    assert "feature = refunds -&gt; ann" in refused.text
    assert "&lt;/textarea&gt;&lt;b&gt;look" in refused.text
    assert "<b>look" not in refused.text
    wrong = client.post("/queues", data={**said, "name": "formed", "where": "featur = refunds"})
    assert ("there is no field" in wrong.text, "--where" in wrong.text) == (True, False)
    assert ("featur = refunds" in wrong.text, 'value="formed"' in wrong.text) == (True, True)
    made = client.post("/queues", data={**said, "name": "formed"})
    assert "Nothing is drawn at random" in made.text
    queue = find_queue(place.database, "formed")
    assert (queue.rules[0].reviewer, dict(queue.weights), queue.signals) == ("ann", {"refusal": 77}, ("failure",))
    assert {i.assigned_to for i in list_items(place.database, queue)} == {"ann"}

    shown = client.get("/queues/formed/edit").text
    assert 'id="weight-refusal"' in shown
    assert 'value="77"' in shown
    edit = {"version": "1", "random": "20", "reason": "too few"}
    assert "It is so now" in client.post("/queues/formed/edit", data=edit).text
    again = client.post("/queues/formed/edit", data={**edit, "random": "30"})
    assert (again.status_code, "somebody changed this queue" in again.text) == (400, True)
    changed = find_queue(place.database, "formed")
    assert (changed.random_share, changed.rules, changed.weights) == (0.2, queue.rules, queue.weights)
    assert [(c.actor, c.reason) for c in history(place.database, "formed")] == [("ines", ""), ("ines", "too few")]
    client.post("/queues/formed/edit", data={"version": "2", "open": "no"})
    assert not find_queue(place.database, "formed").is_open
    assert "is closed" in client.post("/queues/formed/fill", data={"fill": ""}).text
    client.post("/queues/formed/edit", data={"version": "3", "open": "yes"})
    assert find_queue(place.database, "formed").is_open


def test_items_are_assigned_given_back_and_counted(place: Place, plain: Callable[[str], Plain]) -> None:
    hand, queue = plain("olga"), create_queue(place.database, Queue("given"), actor="test")
    first, second = GIVEN
    for trace_id in GIVEN:
        Traffic(place.database).refund(trace_id)
    added = {"queue": "given", "event": "added", "is_priority": True}
    place.database.insert_rows("queue_items", [{**added, "trace_id": t, "score": 1.0} for t in GIVEN])
    for chosen, reviewer, words in (([], "olga", "tick the items"), ([first], "a\x00b", "is no name")):
        refused = hand.client.post("/queues/given/assign", data={"item": chosen, "reviewer": reviewer})
        assert (refused.status_code, words in refused.text) == (400, True)
    assert "for kira" in hand.client.post("/queues/given/assign", data={"item": [first], "reviewer": "kira"}).text
    assert find_item(place.database, queue, first).assigned_to == "kira"
    hand.take("given", second)
    assert find_item(place.database, queue, second).reserved_by == "olga"
    hand.client.post("/queues/given/release", data={"trace": second})
    assert not find_item(place.database, queue, second).reserved_by
    done = hand.label("given", hand.take("given", second), verdict="bad", other_mode="invents a window")
    assert (done.status_code, find_item(place.database, queue, second).state) == (200, "done"), done.text
    told = re.sub(r"<[^>]*>|\s+", " ", hand.client.get("/queues/given/results").text)
    assert re.search(r"all together +1 +1 +0 +100 %", told), told
