"""A real Chromium for tests, driven by Playwright. Debian's, or whatever $EVALGATE_TEST_CHROMIUM names.

    chromium   one browser for a module
    browsed    a fresh page in it; what it says and asks for is in its `seen`

Where there is none the test is skipped. With CI=true it is installed by tests/tools/fetch_chromium.sh, if root runs the
tests, and else the test fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page, Request

INSTALL = Path(__file__).parent / "tools" / "fetch_chromium.sh"
NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(slots=True)
class Seen:
    """What a page did that a report must not do."""

    said: list[str] = field(default_factory=list)
    """Console messages, errors and violations of its policy."""
    asked: list[str] = field(default_factory=list)
    """Addresses of requests other than the page itself."""
    dialogs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Browsed:
    """A page and what it did."""

    page: Page
    seen: Seen


def find_chromium() -> str | None:
    """Return the path of a browser, None where there is none."""
    named = os.environ.get("EVALGATE_TEST_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start the browser. Not for longer than a module: until it ends, its thread has an event loop that runs."""
    sync_api = pytest.importorskip("playwright.sync_api")
    is_ci = os.environ.get("CI") == "true"
    path = find_chromium()
    if path is None and is_ci and _is_root():
        subprocess.run(["sh", str(INSTALL)], check=False, timeout=600)
        path = find_chromium()
    if path is None:
        message = "there is no Chromium: tests/tools/fetch_chromium.sh installs Debian's"
        if is_ci:
            pytest.fail(message)
        pytest.skip(message)
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if _is_root() else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def browsed(chromium: Browser) -> Iterator[Browsed]:
    """Lend a fresh page, 1 000 pixels wide, that notes what it does."""
    context = chromium.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    seen = Seen()
    page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("dialog", lambda dialog: _dismiss(seen, dialog))
    page.on("request", lambda request: _note(seen, request))
    yield Browsed(page, seen)
    context.close()


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _dismiss(seen: Seen, dialog: Dialog) -> None:
    seen.dialogs.append(dialog.message)
    dialog.dismiss()


def _note(seen: Seen, request: Request) -> None:
    if not _is_page(request.url):
        seen.asked.append(request.url)


def _is_page(url: str) -> bool:
    return url.startswith("file://") and url.partition("#")[0].endswith(".html")
