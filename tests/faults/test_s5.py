"""S5: words that attack whoever reads them on a page.

Injected: some 150 vectors (script elements, handlers, SVG, URLs, broken attributes, templates, htmx, CSS, bidi and
 control characters, mutation, formulas) in every column of spans, feedback, labels, issues, clusters, queues and cases,
 and in addresses, parameters and forms; every page is opened in a browser. POSTs of another site to every form.
Holds: nothing runs, no dialog opens, nothing is asked of another address, no page breaks its own policy, no element or
 attribute is there but those of our templates; the words are shown. Other sites get 403. CSV has no cell that is run.
Figure: vectors, pages opened, addresses tried, forms refused.
"""

from __future__ import annotations

import csv
import io
import re
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

from evalgate.database import TenantDatabase
from evalgate.errors import BadInput
from evalgate.queue.definition import Queue, check
from evalgate.web.pages import all_pages
from evalgate.web.separated import separated
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.web.hostile import ALL_IN_ONE, QUEUE, VECTORS, holds, plant
from tests.web.inert import wrong_in
from tests.web.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

    from tests.web.serving import Served

FIRST: Final = f"{1:032x}"
RUN: Final = ("=", "+", "-", "@", "\t", "\r")
PARAMETERS: Final = {
    "trace_id": (ALL_IN_ONE, FIRST, f"{40:032x}", f"{75:032x}"),
    "span_id": ("0000000000000002",),
    "session_id": (VECTORS[0], VECTORS[60]),
    "number": ("1", "2"),
    "id": ("1",),
    "name": (QUEUE, "hostile"),
}
"""What the parts of addresses stand for; a page with another part must be added here."""
QUERIES: Final = {
    "/traces": ("", "?where=session_id+~+pwned", "?q=pwned"),
    "/traces/{trace_id}": ("", "?spans=all&whole=1"),
    "/queues/{name}": ("", f"?trace={FIRST}"),
}
"""Further views of a page."""
REFLECTED: Final = (
    "/traces?where={}",
    "/traces?after={}&service={}",
    "/traces/{}",
    "/traces/{}/spans/{}",
    "/sessions?where={}",
    "/sessions/{}",
    "/queues/{}",
    "/queues/{}/edit",
    "/queues/hostile/items?state={}",
    "/issues?state={}&sort={}",
    "/issues/{}",
    "/clusters/{}",
    "/datasets/{}",
    "/datasets/hostile?version={}",
    "/datasets/hostile/diff?a={}&b={}",
    "/waiting?since={}",
    "/login?next={}",
    "/static/{}",
    "/{}",
)
"""Addresses that an attacker could have somebody follow."""


@pytest.fixture(scope="module")
def served(embedded_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("project")
    dsn = f"chdb://{embedded_folder}?database=t_{uuid.uuid4().hex}"
    with connect(dsn) as db:
        migrate(db)
        plant(TenantDatabase(db, "default"), folder)
        with serving(dsn, folder) as pages:
            yield pages


def addresses() -> list[str]:
    """Return the address of every page that is looked at, for each thing that it may show."""
    found = []
    for page in all_pages():
        if "GET" not in page.methods or page.path.endswith((".json", ".csv")):
            continue
        paths = [page.path]
        for name in re.findall(r"\{(\w+)", page.path):
            values = PARAMETERS[name]
            paths = [filled(path, name, value) for path in paths for value in values]
        found += [path + query for path in dict.fromkeys(paths) for query in QUERIES.get(page.path, ("",))]
    return found


def filled(path: str, name: str, value: str) -> str:
    """Return an address with a value in one of its places."""
    return path.replace(f"{{{name}:path}}", quote(value, safe="")).replace(f"{{{name}}}", quote(value, safe=""))


def any_of(path: str) -> str:
    """Return one address of a page."""
    for name in re.findall(r"\{(\w+)", path):
        path = filled(path, name, PARAMETERS[name][0])
    return path


@pytest.mark.timeout(400)
def test_every_page_shows_the_words_and_does_nothing_they_say(
    chromium: Browser, served: Served, record_property: Any
) -> None:
    context = chromium.new_context(viewport={"width": 1200, "height": 900}, color_scheme="dark")
    ran: list[str] = []
    context.expose_binding("pwned", lambda _, *words: ran.append(str(words)))
    page = context.new_page()
    page.set_default_timeout(60_000)
    seen: list[str] = []
    watch(page, served.url, seen)
    with served.client() as client:  # whoever opens the runner then finds the form of this item
        assert client.post(f"/queues/{QUEUE}/take", data={"to": ""}).status_code == 303
    shown = 0
    opened = addresses()
    for path in opened:
        shown = max(shown, _look(page, served.url + path, path, seen))
        assert (ran, seen) == ([], []), path
    assert shown > len(VECTORS) / 2, "the words are not there: what holds then?"
    for path in ("/datasets/hostile/diff", f"/queues/{QUEUE}/edit"):
        assert _look(page, served.url + path, path, seen) > len(VECTORS) / 2, path
        assert (ran, seen) == ([], []), path
    context.close()
    record_property("vectors", len(VECTORS))
    record_property("pages", len(opened))


def watch(page: Page, url: str, seen: list[str]) -> None:
    """Note what a page must not do."""

    def dismiss(dialog: Dialog) -> None:
        seen.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def hear(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            seen.append(f"{said.type}: {said.text}")

    def note(asked: Request) -> None:
        if not asked.url.startswith(url):
            seen.append(f"request {asked.url}")

    page.on("dialog", dismiss)
    page.on("console", hear)
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("request", note)
    page.on("popup", lambda other: seen.append(f"window {other.url}"))


def _look(page: Page, url: str, path: str, seen: list[str]) -> int:
    """Open a page and everything that folds; return how many of the vectors it shows as words."""
    answer = page.goto(url)
    assert answer is not None
    assert answer.status < 500, path
    if answer.status >= 400:  # a browser says so in its console
        assert all(f"status of {answer.status}" in said for said in seen), (path, seen)
        seen.clear()
    assert wrong_in(answer.text()) == [], path
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.mouse.move(400, 300)
    page.locator(".htmx-request").first.wait_for(state="detached")
    assert wrong_in(page.content()) == [], path
    return holds(page.evaluate("document.body.textContent"))


@pytest.mark.timeout(400)
def test_what_an_address_or_a_form_says_is_words(served: Served, record_property: Any) -> None:
    tried = 0
    with served.client() as client:
        for number, text in enumerate(VECTORS):
            address = REFLECTED[number % len(REFLECTED)]
            answer = client.get(address.format(*[quote(text.encode("utf-8", "replace"), safe="")] * 2))
            tried += 1
            assert answer.status_code < 500, (address, text)
            if "text/html" in answer.headers.get("content-type", ""):
                assert wrong_in(answer.text) == [], (address, text)
            assert "\n" not in answer.headers.get("location", "")
            assert not answer.headers.get("location", "").startswith(("//", "http", "javascript"))
        for text in VECTORS[::10]:
            texts = ("where", "text", "issues", "signals", "random", "rules", "adjudicators", "weight-refusal")
            form = dict.fromkeys(("name", "instructions", "reviewers", "reason", *texts), text)
            label = {
                "trace": FIRST,
                "token": "a" * 32,
                "verdict": text,
                "comment": text,
                "place": text,
                "other_mode": text,
            }
            forms = (
                ("/queues", form),
                (f"/queues/{QUEUE}/edit", {**form, "version": "1"}),
                (f"/queues/{QUEUE}/label", label),
                ("/name", {"name": text}),
            )
            for path, fields in forms:
                answer = client.post(path, data={**fields, "next": text})
                tried += 1
                assert answer.status_code in (303, 400, 403), (path, text)
                assert wrong_in(answer.text) == [], (path, text)
                assert not answer.headers.get("location", "").startswith(("//", "http", "javascript"))
    record_property("addresses", tried)


def test_no_form_takes_what_another_site_sends(served: Served, record_property: Any) -> None:
    posts = [page for page in all_pages() if "POST" in page.methods]
    assert len(posts) > 10
    headers = (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.invalid"},
        {"origin": "null"},
    )
    with served.client() as client:
        for page in posts:
            path = any_of(page.path)
            for forged in headers:
                assert client.post(path, data={"name": "owned", "trace": FIRST}, headers=forged).status_code == 403, (
                    path
                )
    record_property("forms", len(posts))


def test_no_cell_of_a_table_is_run(served: Served) -> None:
    with served.client() as client:
        for page in all_pages():
            if page.path.endswith(".csv"):
                answer = client.get(any_of(page.path))
                assert answer.headers["content-disposition"].startswith("attachment")
                _, *rows = csv.reader(io.StringIO(answer.text))
                assert rows
                for cell in (c for row in rows for c in row):
                    assert not cell.lstrip(" \n").startswith(RUN) or re.fullmatch(r"-?[\d.]+", cell), cell
    _, *rows = csv.reader(io.StringIO(separated(["text"], [[text] for text in VECTORS])))
    assert len(rows) == len(VECTORS)
    assert [cell for (cell,) in rows if cell.lstrip(" \n").startswith((*RUN, "\uff1d"))] == []


def test_no_vector_is_the_name_of_a_queue() -> None:
    for text in VECTORS:
        with pytest.raises(BadInput):
            check(Queue(text))


def test_what_is_looked_for_is_found_where_nothing_is_escaped() -> None:
    """The check is worth something: most vectors would be seen in a page that let them through."""
    caught = [text for text in VECTORS if wrong_in(f"<main>{text}</main>") or wrong_in(f'<input value="{text}">')]
    markup = [text for text in VECTORS if re.search(r"<\w", text)]
    assert len(markup) > 80
    assert len(caught) > 0.9 * len(markup)
