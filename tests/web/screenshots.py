#!/usr/bin/env python3
"""`make screenshots`: start the real service, let a believable fortnight happen, and take a picture of every page.

Writes docs/images/pages-<page>-{light,dark}.png, 1280 pixels wide, and some at 360. Names of pages after the command
take those alone. `--keep FOLDER` leaves the project there and the service running until Enter is pressed.
"""

from __future__ import annotations

import argparse
import base64
import json
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import sync_playwright

from evalgate.database import open_tenant
from tests.fixtures_browser import find_chromium
from tests.web import seeding, story
from tests.web.shop import INVENTED, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser, FloatRect, Page

PALETTE: Final = Path(__file__).with_name("palette.js")
IMAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
DAYS: Final = 21
PER_DAY: Final = 110
WIDE: Final = (1280, 860)
NARROW: Final = (360, 740)
MOST_HIGH: Final = 1200
"""A picture of a long page shows its beginning."""
FETCH_MS: Final = 500
"""Until htmx has noticed what is seen."""
MARGIN: Final = 16
"""Above the element that a picture begins at."""
READY_TIMEOUT_S: Final = 60.0
VISIBLE_TIMEOUT_S: Final = 300.0
"""The first time kernels are compiled."""
MOST_BYTES: Final = 150_000
EVERY_LOOK: Final = ("light", "dark", "narrow")


@dataclass(frozen=True, slots=True)
class Shot:
    """One page."""

    name: str
    path: str
    press: str = ""
    """A button to press first."""
    at: str = ""
    """A selector: the picture begins there, not at the top."""
    looks: tuple[str, ...] = ("light", "dark")
    """Names of LOOKS."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at."""

    name: str
    theme: Literal["light", "dark"]
    size: tuple[int, int]


LOOKS: Final = (Look("light", "light", WIDE), Look("dark", "dark", WIDE), Look("narrow", "light", NARROW))


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="names of pages; default: all")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--keep", type=Path, default=None, metavar="FOLDER")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        folder = asked.keep or Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        process, ready = start(folder)
        try:
            shots = happen(folder, ready)
            chosen = [s for s in shots if not asked.pages or s.name in asked.pages]
            lines = list(told(take(ready["web"], chosen, asked.out)))
            if asked.keep:
                input(f"the pages are at {ready['web']}; Enter ends the service")
        finally:
            process.terminate()
            process.wait(30)
    return 0 if all(line.startswith("200 ") for line in lines) else 1


def told(lines: Iterator[str]) -> Iterator[str]:
    """Print each line as it comes."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        yield line


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Start `evalgate up` and wait until it has said where it listens."""
    ready = folder / "ready.json"
    ports = ("--grpc-port", "--http-port", "--clickhouse-port", "--web-port")
    command = [str(story.COMMAND), "up", *(w for port in ports for w in (port, "0")), "--ready-file", str(ready)]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline_s:
            process.kill()
            raise RuntimeError((folder / "up.log").read_text())
        time.sleep(0.1)
    return process, json.loads(ready.read_text())


def happen(folder: Path, ready: dict[str, Any]) -> list[Shot]:
    """Send the traffic, let the team work, and return the pages that are worth a picture."""
    told = Shop(datetime.now(UTC)).traffic(DAYS, PER_DAY)
    seeding.send(f"http://{ready['http']}", told)
    with open_tenant(ready["dsn"], None) as database:
        deadline_s = time.monotonic() + VISIBLE_TIMEOUT_S
        while database.rows("SELECT count() AS n FROM traces")[0]["n"] < len(told):
            if time.monotonic() > deadline_s:
                raise RuntimeError("the traces do not become visible")
            time.sleep(0.2)
    project = story.Project(folder)
    story.tell(project, ready["dsn"], told)
    shown = next(t for t in reversed(told) if t.mode == INVENTED and t.thumb is False)
    issue = story.issue_numbers(project)[INVENTED]
    clusters = json.loads(project.run("cluster", "list", "--json"))["clusters"]
    session = next(a["value"]["stringValue"] for a in shown.spans[0]["attributes"] if "conversation" in a["key"])
    return [
        Shot("dashboard", "/", looks=EVERY_LOOK),
        Shot("dashboard-work", "/", at="#funnel"),
        Shot("traces", "/traces", looks=EVERY_LOOK),
        Shot("trace", f"/traces/{shown.trace_id}"),
        Shot("trace-calls", f"/traces/{shown.trace_id}", at="#calls"),
        Shot("sessions", "/sessions"),
        Shot("session", f"/sessions/{session}"),
        Shot("waiting", "/waiting"),
        Shot("queues", "/queues"),
        Shot("queue", f"/queues/{story.QUEUE}/edit"),
        Shot("review", f"/queues/{story.QUEUE}", press="Start", looks=EVERY_LOOK),
        Shot("review-form", f"/queues/{story.QUEUE}", press="Start", at="#label-form", looks=("narrow",)),
        Shot("items", f"/queues/{story.QUEUE}/items"),
        Shot("issues", "/issues?state=all"),
        Shot("issue", f"/issues/{issue}", looks=EVERY_LOOK),
        Shot("modes", "/modes"),
        Shot("clusters", "/clusters"),
        Shot("cluster", f"/clusters/{clusters[0]['id']}"),
        Shot("datasets", "/datasets"),
        Shot("dataset", "/datasets/support"),
        Shot("diff", "/datasets/support/diff"),
    ]


def take(url: str, shots: Sequence[Shot], out: Path) -> Iterator[str]:
    """Take every picture, light and dark; yields a line for each, with what the page complained of."""
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for shot in shots:
            for look in (look for look in LOOKS if look.name in shot.looks):
                yield _picture(browser, url, shot, out / f"pages-{shot.name}-{look.name}.png", look)
        browser.close()


def _picture(browser: Browser, url: str, shot: Shot, path: Path, look: Look) -> str:
    wide, high = look.size
    context = browser.new_context(viewport={"width": wide, "height": high}, color_scheme=look.theme)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    answer = page.goto(url + shot.path)
    if shot.press and page.get_by_role("button", name=shot.press).count():
        page.get_by_role("button", name=shot.press).click()
    page.wait_for_load_state("networkidle")
    status = answer.status if answer else 0
    content = page.screenshot(full_page=True, clip=_clip(page, shot.at, look))
    over = page.evaluate("document.documentElement.scrollWidth") - wide
    context.close()
    content = smaller(browser, content)
    path.write_bytes(content)
    notes = [*([f"wider than the window by {over} px"] if over > 0 else []), *said]
    notes += [f"{len(content)} bytes are too many"] if len(content) > MOST_BYTES else []
    return f"{status} {path.name} {len(content) // 1000} kB {'; '.join(notes)}"


def _clip(page: Page, at: str, look: Look) -> FloatRect:
    """Return the part of a page that is pictured: from its top, or from an element on, as much as is shown at most."""
    wide, high = look.size
    top = 0.0
    if at:
        # Parts that are fetched when they are seen come, and move what is below them.
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(FETCH_MS)
        page.locator(".htmx-request, .htmx-swapping, .htmx-settling").first.wait_for(state="detached")
        top = page.locator(at).first.evaluate("e => e.getBoundingClientRect().top + window.scrollY") - MARGIN
    room = page.evaluate("document.documentElement.scrollHeight") - top
    return {"x": 0, "y": max(top, 0.0), "width": wide, "height": min(MOST_HIGH, max(room, 0 if at else high))}


def smaller(browser: Browser, png: bytes) -> bytes:
    """Return a picture in few colours: a third of the bytes, and nobody sees it."""
    context = browser.new_context()
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    found = context.new_page().evaluate(PALETTE.read_text(), source)
    context.close()
    wide, high = int(found["width"]), int(found["height"])
    pixels = base64.b64decode(found["indices"])
    rows = b"".join(b"\0" + pixels[y * wide : (y + 1) * wide] for y in range(high))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)),
        (b"PLTE", base64.b64decode(found["palette"])),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


if __name__ == "__main__":
    sys.exit(main())
