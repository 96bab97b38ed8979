"""Whatever a name, an input, an output or a reason says, it stays data, and a report stays bounded and readable."""

from __future__ import annotations

import html.parser
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.gate.report import Kind, render, render_error, step_summary
from evalgate.terminal import UNSAFE
from tests.evalgate.reports.samples import HOSTILE, HUGE, everywhere, red_report

if TYPE_CHECKING:
    from evalgate.gate.report import Report

COMMAND = re.compile(r"^::(error|warning|notice) file=[^:]*,title=[^:]*::")
VOID = {"meta", "br"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """One text of the corpus wherever content can stand, in every rendering."""

    report: Report
    texts: dict[Kind, str]


@pytest.fixture(scope="module", params=HOSTILE, ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest) -> Rendered:
    text = HOSTILE[request.param]
    report = everywhere(red_report(failing=2), text)
    return Rendered(report, {kind: render(kind, report) for kind in Kind})


def test_no_rendering_holds_a_character_that_acts(hostile: Rendered) -> None:
    for kind, text in hostile.texts.items():
        assert text.encode("utf-8", "strict").decode() == text, kind
        assert text.endswith("\n"), kind
        assert not UNSAFE.findall(text), kind


def test_a_log_holds_no_workflow_command_of_content(hostile: Rendered) -> None:
    lines = hostile.texts[Kind.GITHUB].splitlines()
    commands = [x for x in lines if COMMAND.match(x)]
    others = [x for x in lines if not COMMAND.match(x)]
    assert commands
    for x in others:
        assert "::" not in x
        assert "##[" not in x
    for x in commands:
        _, properties, message = x.split("::", 2)
        assert "::" not in message
        assert properties.count("file=") == 1 or "file%3D" in properties or "file=x" in properties
        assert re.fullmatch(r"(?:[^%]|%25|%3A|%2C)*", properties)


def test_json_says_what_the_content_says(hostile: Rendered) -> None:
    text = hostile.texts[Kind.JSON]
    payload = json.loads(text)
    said = payload["failing_cases"][0]["reasons"][0]["reason"]
    assert said == hostile.report.decision.failing[0].scores[0].reason
    assert payload["run"]["target"] == hostile.report.run.target


def test_junit_parses_and_its_tests_are_counted(hostile: Rendered) -> None:
    root = ET.fromstring(hostile.texts[Kind.JUNIT])  # noqa: S314 - our own document
    assert root.tag == "testsuites"
    tests = root.findall("testsuite/testcase")
    assert int(root.attrib["tests"]) == len(tests) == 1 + 6 + len(hostile.report.run.results) + 1  # set aside


def test_sarif_parses_and_holds_neither_links_nor_placeholders(hostile: Rendered) -> None:
    run = json.loads(hostile.texts[Kind.SARIF])["runs"][0]
    for r in run["results"]:
        message = r["message"]["text"]
        assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]]", message), message
        assert not re.search(r"[{}]", message.replace("{{", "").replace("}}", "")), message


def test_markdown_holds_neither_html_nor_links_nor_mentions_of_content(hostile: Rendered) -> None:
    for page in (hostile.texts[Kind.MARKDOWN], step_summary(hostile.report)):
        outside = _outside_of_code(page)
        assert set(re.findall(r"<[^>]*>?", outside)) <= {
            "<!-- evalgate gate -->",
            "<details>",
            "<summary>",
            "</summary>",
            "</details>",
        }
        for word in ("http://", "https://", "www.", "mailto:", "@", "![", "](", "**"):
            assert word not in outside, (word, outside)
        assert page.count("<details>") == page.count("</details>") or "</details>" in HOSTILE["fence"]


def _outside_of_code(page: str) -> str:
    """Return a page of GitHub's Markdown without its blocks and spans of code."""
    kept, fence = [], ""
    for line in page.split("\n"):
        opening = re.match(r"`{3,}", line)
        if fence:
            if opening and set(line) == {"`"} and len(line) >= len(fence):
                fence = ""
        elif opening:
            fence = opening[0]
        else:
            kept.append(re.sub(r"`[^`]*`", "", line))
    assert not fence, "a block of code is open at the end"
    return "\n".join(kept)


class Tags(html.parser.HTMLParser):
    """The elements of a page, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_has_our_elements_alone(hostile: Rendered) -> None:
    page = Tags()
    page.feed(hostile.texts[Kind.HTML])
    page.close()
    assert not page.open
    assert not page.names & {"script", "img", "iframe", "object", "embed", "form", "input", "base", "link"}
    assert not [a for a in page.attributes if a.startswith("on") or a in ("style", "src", "srcdoc", "action")]


@pytest.mark.parametrize("kind", Kind)
def test_errors_are_as_safe(kind: Kind) -> None:
    texts = {"all": "\n".join(HOSTILE.values())} if kind is Kind.HTML else HOSTILE  # a page takes longer
    for name, hostile_text in texts.items():
        text = render_error(kind, hostile_text)
        assert not UNSAFE.findall(text), name
        assert kind is Kind.MARKDOWN or "\n::" not in text, name  # a file, no log
        if kind is Kind.JUNIT:
            ET.fromstring(text)  # noqa: S314 - our own document
        if kind in (Kind.JSON, Kind.SARIF):
            json.loads(text)


LARGEST: dict[Kind, int] = {
    Kind.TEXT: 60_000,
    Kind.GITHUB: 90_000,
    Kind.JSON: 200_000,
    Kind.JUNIT: 400_000,
    Kind.SARIF: 200_000,
    Kind.MARKDOWN: 60_000,
    Kind.HTML: 3_000_000,
}


@pytest.fixture(scope="module")
def huge() -> Report:
    return red_report(failing=3, text=HUGE, reason=HUGE)


@pytest.mark.parametrize("kind", Kind)
def test_ten_megabytes_of_content_are_cut(huge: Report, kind: Kind) -> None:
    assert len(render(kind, huge)) <= LARGEST[kind]


def test_a_comment_fits_github_however_many_cases_fail() -> None:
    page = render(Kind.MARKDOWN, red_report(failing=900))
    assert 30_000 < len(page) <= 60_000
    assert re.search(r"^\d+ more: they stand in the JSON", page, re.MULTILINE)
    assert page.count("<details>") == page.count("</details>")


def test_annotations_are_ten_of_a_kind() -> None:
    lines = render(Kind.GITHUB, red_report(failing=40)).splitlines()
    kinds = [match[1] for x in lines if (match := COMMAND.match(x))]
    assert kinds.count("error") == 10
    assert kinds.count("warning") <= 10


@pytest.mark.parametrize("kind", Kind)
def test_the_same_report_is_the_same_text(kind: Kind) -> None:
    assert render(kind, red_report()) == render(kind, red_report())


def test_the_corpus_would_act_where_it_is_not_defused() -> None:
    """A check of the checks: put as it is into a page or a log, the corpus is seen."""
    assert UNSAFE.search(HOSTILE["ansi"])
    assert COMMAND.match("::error file=a,title=b::c")
    seen = Tags()
    seen.feed(HOSTILE["script"])
    assert seen.names == {"script", "img", "svg"}
    with pytest.raises(ET.ParseError):
        ET.fromstring(f"<a>{HOSTILE['not xml']}</a>")  # noqa: S314 - it must not parse
    values: list[Any] = [_outside_of_code(HOSTILE["url"])]
    assert "https://" in values[0]
