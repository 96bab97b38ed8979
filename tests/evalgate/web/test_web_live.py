"""In a browser: new traces and sessions appear by themselves, a person can pause them, and choose colours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from evalgate.database import TenantDatabase
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from tests.evalgate.traffic import Traffic
from tests.web.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures_browser import Browsed

DEADLINE_MS = 30_000
NEXT_ASKED = """() => new Promise((told) => document.addEventListener(
    "htmx:beforeRequest", (event) => told(event.defaultPrevented), { once: true }))"""


def send(dsn: str, number: int, text: str) -> None:
    """Store a trace that comes now."""
    now = datetime.now(UTC)
    span = {"received_at": now, "start_time": now - timedelta(seconds=1), "end_time": now, "input_text": text}
    with connect(dsn) as db:
        Traffic(TenantDatabase(db, "default")).trace(f"{number:032x}", [span])


def test_new_traces_come_on_top_until_one_pauses_them(embedded_folder: Path, tmp_path: Path, browsed: Browsed) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    dsn = f"chdb://{embedded_folder}?database=web_live"
    with connect(dsn) as db:
        migrate(db)
    send(dsn, 1, "the first <img src=x onerror=alert(1)>")
    page = browsed.page
    page.set_default_timeout(DEADLINE_MS)
    with serving(dsn, tmp_path) as served:
        page.goto(f"{served.url}/traces")
        rows = page.locator("#rows tr:not(#tail) .what a")
        sync_api.expect(rows).to_have_text(["the first <img src=x onerror=alert(1)>"])
        send(dsn, 2, "the second")
        sync_api.expect(rows.first).to_have_text("the second", timeout=DEADLINE_MS)
        sync_api.expect(rows).to_have_count(2)
        assert page.evaluate(NEXT_ASKED) is False
        page.get_by_role("button", name="Pause").click()
        assert page.evaluate(NEXT_ASKED) is True
        sync_api.expect(page.get_by_role("status")).to_have_text("paused")

        page.goto(f"{served.url}/sessions")
        began = page.locator("#found .what a")
        sync_api.expect(began).to_have_count(2)
        send(dsn, 3, "the third")
        sync_api.expect(began.first).to_have_text("the third", timeout=DEADLINE_MS)

        page.emulate_media(color_scheme="light")
        assert _background(browsed) == "rgb(251, 251, 250)"
        theme = page.get_by_role("button", name="Colours")
        theme.click()
        theme.click()
        assert _background(browsed) == "rgb(19, 20, 18)"
        page.reload()
        assert _background(browsed) == "rgb(19, 20, 18)", "it is kept"
        page.goto("about:blank")
    assert browsed.seen.said == []
    assert browsed.seen.dialogs == []
    assert {url for url in browsed.seen.asked if not url.startswith((served.url, "about:"))} == set()


def _background(browsed: Browsed) -> str:
    found: str = browsed.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return found
