"""Words that attack whoever reads them stay words in the markup; what a browser makes of every page is fault S5."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from evalgate.queue.blind import Blind
from evalgate.queue.definition import Queue
from evalgate.queue.items import Entry, Hold, HoldEvent, item_of
from evalgate.select.traces import Trace, TraceRow
from evalgate.web.application import templates as templates_of
from evalgate.web.assets import Assets
from evalgate.web.calls import KINDS, NAMES, Calls
from evalgate.web.content import content_of
from evalgate.web.label_form import LabelForm, LikeKnown
from evalgate.web.runner import Desk, Part, Sheet, Walk
from evalgate.web.separated import separated
from evalgate.web.site import Visitor
from evalgate.web.trace_view import InCluster, TraceView
from evalgate.web.waterfall import waterfall
from schema.verdict import Role
from tests.evalgate.test_reading import SPAN
from tests.web.hostile import VECTORS, holds
from tests.web.inert import wrong_in

if TYPE_CHECKING:
    from jinja2 import Environment

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LABEL = {
    "annotation_id": "0a" * 16, "created_unix_us": 1, "span_id": "", "verdict": "bad", "severity": "high",
    "anchor": '[{"message": 1, "start": 0, "end": 1}, {"message": 0}]', "queue": "", "role": "label",
}  # fmt: skip


def trace_of(text: str) -> Trace:
    """Return a trace that says this everywhere."""
    names = ("root_name", "service_name", "session_id", "user_id", "agent_name", "feature", "environment", "release")
    lists = ("failure_reasons", "policy_versions", "trace_defects")
    numbers = dict.fromkeys((f for f in TraceRow.__dataclass_fields__ if f not in (*names, *lists)), 1)
    row: Any = {**numbers, **dict.fromkeys(names, text), **dict.fromkeys(lists, (text,)), "trace_id": "0b" * 16}
    message = {"role": text, "parts": [{"type": "text", "content": text}, {"type": "reasoning", "content": text}]}
    call = {"role": "assistant", "parts": [{"type": "tool_call", "name": text, "arguments": {text: text}}]}
    span = replace(
        SPAN, name=text, status_message=text, service_name=text, model=text, input_messages=(message, call),
        output_messages=(message,), output_text=text, error=True, error_type=text, error_message=text, defects=(text,),
    )  # fmt: skip
    tool = replace(span, span_id="2", kind="tool", tool_name=text, tool_arguments={text: text}, tool_result=text)
    said = dict.fromkeys(("annotator", "failure_mode", "comment", "corrected_output"), text)
    feedback = {**dict.fromkeys(("name", "value", "label", "comment", "source"), text), "polarity": "negative"}
    return Trace(TraceRow(**row), (span, tool), (feedback,), ({**LABEL, **said},))


def rendered(templates: Environment, name: str, **values: Any) -> str:
    """Return a page of a template as the site writes it."""
    common = {
        "visitor": Visitor("x", "default", may_review=True, is_admin=False), "request_path": "/", "nav": (),
        "url": lambda page, **_: f"/{page}", "here": lambda **_: "/here", "asks_for_keys": False,
        "is_htmx": False,
    }  # fmt: skip
    return templates.get_template(name).render({**common, **values})


def test_what_a_trace_says_is_text_on_its_page_and_beside_the_form() -> None:
    templates = templates_of(Assets(), lambda: NOW)
    queue = Queue("q", reviewers=2)
    shown = 0
    for text in VECTORS:
        trace = trace_of(text)
        content = content_of(trace, Blind())
        calls = Calls((), dict.fromkeys(KINDS, 1), None, 0, 0)
        view = TraceView(
            content, waterfall(trace.spans), calls, (), {text: 1}, (InCluster("failing", 1, text),), ("ten",)
        )
        names = dict(zip(KINDS, NAMES, strict=True))
        page = rendered(templates, "trace/page.html", view=view, content=content, row=trace.row, token_names=names)
        assert wrong_in(page) == [], text
        hold = Hold("0b" * 16, 1, HoldEvent.TAKEN, "x", NOW, NOW.replace(year=2027))
        item = item_of(queue, Entry("0b" * 16, NOW), hold, (), NOW)
        form = LabelForm("a" * 32, text, text, text, text, text, text, (0,), (text,))
        chips = tuple(replace(form, places=("1:0:3",)).chips([]))
        sheet = Sheet(
            item, content, (Part(text, 1.0, text),), form, chips, (text,), Role.LABEL, is_mine=True, has_label=False,
            why_not=text, answer=text,
        )  # fmt: skip
        desk = Desk(
            replace(queue, instructions=text), "x", NOW, Walk((), frozenset(), frozenset()), Counter(), None, ()
        )
        values = {"place": 1, "of": 1, "before": None, "after": None, "seconds_left": 3, "numbered": 9}
        runner = rendered(
            templates, "review/runner.html", at=desk, sheet=sheet, content=content, row=trace.row, error=text,
            saved="", is_undone=False, asked=LikeKnown(text, text), **values,
        )  # fmt: skip
        assert wrong_in(runner) == [], text
        shown += holds(_words(page), [text]) + holds(_words(runner), [text])
    assert shown > len(VECTORS), "the words are not there: what holds then?"


def test_no_cell_of_a_table_is_run_by_a_spreadsheet() -> None:
    lines = separated(["a"], [[text] for text in ("=1+1", "+1", "-1", "@x", "\t=1", " =1", "\uff1d1", "plain", 'a"b')])
    assert lines.splitlines() == [
        '"a"', "\"'=1+1\"", "\"'+1\"", "\"'-1\"", "\"'@x\"", "\"'\t=1\"", "\"' =1\"", "\"'\uff1d1\"",
        '"plain"', '"a""b"',
    ]  # fmt: skip
    assert separated(["n"], [[-1.5, None, True]]).splitlines()[1] == '"-1.5","","True"'


def _words(page: str) -> str:
    found: list[str] = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_data = found.append  # type: ignore[method-assign, assignment]  # it is all that is wanted
    parser.feed(page)
    return "".join(found)
