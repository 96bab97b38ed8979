"""The HTML report in a real browser: nothing runs, nothing is asked for, everyone can read it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.gate.report import Kind, render, render_error
from tests.evalgate.reports.samples import HOSTILE, everywhere, green_report, red_report
from tests.tools.fetch_axe import axe
from tests.tools.fetch_chserver import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.fixtures_browser import Browsed

SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def axe_source() -> str:
    try:
        return axe().read_text("utf-8")
    except Unavailable as e:
        if os.environ.get("CI") == "true":
            pytest.fail(str(e))
        pytest.skip(str(e))


def show(browsed: Browsed, folder: Path, text: str) -> Page:
    path = folder / "report.html"
    path.write_text(text, "utf-8")
    browsed.page.goto(path.as_uri())
    return browsed.page


def test_a_report_opens_without_a_word_and_without_a_request(browsed: Browsed, tmp_path: Path) -> None:
    page = show(browsed, tmp_path, render(Kind.HTML, red_report()))
    assert page.title() == "GATE FAILED"
    assert page.locator("details").count() == 11
    assert page.locator("svg[role=img]").count() == 4
    first = page.locator("#failing ~ details, section:has(#failing) details").first
    first.locator("summary").click()
    assert first.locator("del").first.is_visible()
    assert "evalgate traces show" in first.inner_text()
    assert (browsed.seen.said, browsed.seen.asked, browsed.seen.dialogs) == ([], [], [])


def test_the_policy_of_the_page_forbids_what_content_would_do(browsed: Browsed, tmp_path: Path) -> None:
    """The page is changed on purpose: even if escaping failed, script and request would not happen."""
    text = render(Kind.HTML, green_report())
    broken = text.replace("</footer>", '<script>window.pwned=1</script><img src="http://127.0.0.1:9/x.png"></footer>')
    page = show(browsed, tmp_path, broken)
    assert page.evaluate("window.pwned") is None
    assert sum("Content Security Policy" in said for said in browsed.seen.said) == 2


def test_hostile_content_stays_text(browsed: Browsed, tmp_path: Path) -> None:
    text = "\n".join(HOSTILE.values())
    page = show(browsed, tmp_path, render(Kind.HTML, everywhere(red_report(failing=3), text)))
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    for element in page.locator("a").all():
        assert (element.get_attribute("href") or "").startswith("#")
    page.mouse.move(300, 300)
    assert page.evaluate("window.pwned") is None
    assert page.locator("script, img, iframe, form, object").count() == 0
    assert "<script>window.pwned=1</script>" in page.locator("pre").first.inner_text()
    assert (browsed.seen.said, browsed.seen.asked, browsed.seen.dialogs) == ([], [], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browsed: Browsed, tmp_path: Path, axe_source: str, scheme: Any) -> None:
    browsed.page.emulate_media(color_scheme=scheme)
    error = [render_error(Kind.HTML, "there is no run")] if scheme == "light" else []
    for text in (render(Kind.HTML, red_report(failing=2)), *error):
        page = show(browsed, tmp_path, text)
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        page.evaluate(axe_source)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [
            (v["id"], v["help"], [n["target"] for n in v["nodes"]][:3])
            for v in found["violations"]
            if v["impact"] in SERIOUS
        ]
        assert not serious
        assert len(found["passes"]) > 10


def test_axe_would_find_grey_on_grey(browsed: Browsed, tmp_path: Path, axe_source: str) -> None:
    page = show(browsed, tmp_path, "<!DOCTYPE html><title>x</title><p style='color:#999;background:#aaa'>hardly</p>")
    page.evaluate(axe_source)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert "color-contrast" in {v["id"] for v in found["violations"]}


def test_nothing_runs_off_the_side_of_a_telephone(browsed: Browsed, tmp_path: Path) -> None:
    width = 360
    browsed.page.set_viewport_size({"width": width, "height": 740})
    text = "A" * 3000 + " " + "0123456789abcdef" * 40
    for report in (red_report(), red_report(failing=2, text=text, reason=text)):
        page = show(browsed, tmp_path, render(Kind.HTML, report))
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_and_opens_every_part(browsed: Browsed, tmp_path: Path) -> None:
    page = show(browsed, tmp_path, render(Kind.HTML, red_report(failing=2)))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.tagName"))
        if reached[-1] == "SUMMARY":
            break
    assert reached[-1] == "SUMMARY"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open") is True


def test_paper_shows_what_is_folded(browsed: Browsed, tmp_path: Path) -> None:
    page = show(browsed, tmp_path, render(Kind.HTML, red_report(failing=1)))
    folded = page.locator("pre").first
    closed = page.evaluate("document.documentElement.scrollHeight")
    browsed.page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollHeight") > closed
    assert folded.evaluate("e => e.getBoundingClientRect().height") > 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_thousand_failing_cases_open_fast(browsed: Browsed, tmp_path: Path) -> None:
    text = render(Kind.HTML, red_report(failing=1000))
    assert len(text) < 6_000_000
    page = show(browsed, tmp_path, text)
    assert page.locator("section:has(#failing) details").count() == 1000
    took_ms = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert took_ms < 3000  # 250 measured; a page that lays out what is not seen takes longer
    page.get_by_text("case-0999").scroll_into_view_if_needed()
    assert page.get_by_text("case-0999").is_visible()
