"""The pages hold together: links lead somewhere, and the project speaks of itself alone."""

from __future__ import annotations

import re
import subprocess
from itertools import chain, count
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name.endswith(suffixes)]
    return [f for f in files if f.is_file()]


@pytest.mark.parametrize("page", tracked(".md"), ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    found: set[str] = set()
    prose = re.sub(r"(?ms)^(```+).*?^\1", "", text)
    for heading in re.findall(r"(?m)^#{1,6}[ \t]+(.+?)[ \t#]*$", prose):
        said = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link is its words
        plain = re.sub(r"[^\w\- ]", "", said.lower()).replace(" ", "-")
        found.add(next(a for a in chain((plain,), (f"{plain}-{n}" for n in count(1))) if a not in found))
    return found


@pytest.mark.parametrize("page", tracked(".md"), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_headings_lead_to_one(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            linked = page.parent / target if target else page
            assert anchor in anchors(linked.read_text("utf-8")), f"{target}#{anchor}"


def test_anchors_are_those_of_github() -> None:
    text = "# A `--flag`, [linked](x.md)!\n```\n# no heading\n```\n## S5: what_is · it?\n## Again\n### Again #\n"
    assert anchors(text) == {"a---flag-linked", "s5-what_is--it", "again", "again-1"}


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            if "://" not in target:
                found = page.parent / target
                todo.append(found / "README.md" if found.is_dir() else found)
    lost = {p.resolve() for p in tracked(".md") if "docs" in p.parts} - seen
    assert not lost, sorted(str(p.relative_to(ROOT)) for p in lost)


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text("utf-8")
    for page in (ROOT / "docs" / "adr").glob("0*.md"):
        assert f"({page.name})" in index, page.name
