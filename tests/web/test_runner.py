"""The queue runner in a real browser: a reviewer labels ten traces by the keyboard alone."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from evalgate.database import TenantDatabase
from evalgate.queue.definition import Queue
from evalgate.queue.fill import fill
from evalgate.queue.items import list_items
from evalgate.queue.reserve import take
from evalgate.queue.store import create_queue
from evalgate.signals.weights import Weights
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.evalgate.traffic import Traffic
from tests.web.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from exporters.clickhouse.connect import Database
    from tests.fixtures_browser import Browsed
    from tests.web.serving import Served

TEN = [f"{n:02x}" * 16 for n in range(1, 11)]
ONE = Queue("ten", reviewers=1)
TWO = Queue("pair", reviewers=2)


@dataclass(frozen=True, slots=True)
class Place:
    """The pages over a database with ten failed traces, and the database."""

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
    for queue in (ONE, TWO):
        made = create_queue(database, queue, actor="test")
        assert fill(database, made, weights=Weights()).added == len(TEN)
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
    page = visit(browsed, place, "ada", "/queues/ten")
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
    # The last label is undone, and what was typed stands in the form again.
    press(page, "b", "1", "v", "m", "c")
    page.keyboard.type("second thoughts")
    seen.append(after(page, "Control+Enter"))
    undone = after(page, "u")
    assert undone == seen[-2]
    assert page.locator("#comment").input_value() == "second thoughts"
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
    with page.expect_navigation():
        press(page, "Control+Enter")
    assert "is with hedy" in page.locator("[role=alert]").first.inner_text()
    assert not [x for x in place.labels("joan") if x["trace_id"] == trace_id]
    kept = page.evaluate("localStorage.getItem(`evalgate-draft/pair/${trace}/joan`)".replace("${trace}", trace_id))
    assert '"comment":"mine"' in kept


def test_without_javascript_a_label_is_a_form_and_twice_is_once(place: Place) -> None:
    with place.served.client(cookies={"evalgate-name": "plain"}, follow_redirects=True) as client:
        page = client.post("/queues/pair/take", data={"to": ""})
        found = {
            name: re.search(rf'name="{name}" value="([0-9a-f]+)"', page.text)[1]  # type: ignore[index]  # it is there
            for name in ("trace", "token")
        }
        form = {
            **found,
            "verdict": "bad",
            "other_mode": "invents a window",
            "mode": "",
            "about": "1",
            "comment": "a\r\nb",
        }
        missing = client.post("/queues/pair/label", data={**form, "verdict": ""})
        assert missing.status_code == httpx.codes.BAD_REQUEST
        assert "choose a verdict first" in missing.text
        assert 'value="invents a window"' in missing.text
        for _ in range(2):
            assert client.post("/queues/pair/label", data=form).status_code == httpx.codes.OK
    (label,) = place.labels("plain")
    assert (label["verdict"], label["comment"]) == ("bad", "a\nb")
    assert '"message": 1' in str(label["anchor"])
