"""Pictures say what the figures say: in their shapes, and in words for who does not see them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from evalgate.gate.base import BaseCase
from evalgate.gate.report.html.pictures import histogram, paired_picture, rates_picture, score_pictures
from tests.evalgate.reports.samples import HOSTILE, base, red_report

NS = "{http://www.w3.org/2000/svg}"


def svg(text: str) -> ET.Element:
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314 - our own


def told(text: str) -> str:
    return svg(text).findtext(f"{NS}desc") or ""


def test_a_histogram_has_every_score_in_one_bin() -> None:
    text = histogram([0.0, 0.05, 0.1, 0.79, 0.8, 0.99, 1.0], "Scores", 0.8, "x")
    assert told(text) == "7 scores. 0.0 to 0.1: 2, 0.1 to 0.2: 1, 0.7 to 0.8: 1, 0.8 to 0.9: 1, 0.9 to 1.0: 2"
    bars = [r.attrib for r in svg(text).iter(f"{NS}rect")]
    assert [b["class"] for b in bars] == ["bar bad", "bar bad", "bar bad", "bar good", "bar good"]
    heights = [float(b["height"]) for b in bars]
    assert heights == [120, 60, 60, 60, 120]


def test_scores_outside_their_range_are_in_the_outer_bins() -> None:
    assert told(histogram([-3.0, 7.0], "Scores", None, "x")) == "2 scores. 0.0 to 0.1: 1, 0.9 to 1.0: 1"


def test_rates_stand_against_what_they_need() -> None:
    text = rates_picture(red_report().decision.eval_results) or ""
    assert told(text) == (
        "refund-window 60 %, 35.7 % to 80.2 %, needs 80 %; kind-tone 80 %, 37.6 % to 96.4 %, needs 90 %."
    )
    limits = [x.attrib["x1"] for x in svg(text).iter(f"{NS}line") if x.attrib["class"] == "limit"]
    assert limits == ["260.0", "290.0"]  # 20 + 300 x 0.8, and x 0.9
    assert rates_picture([]) is None


def test_cases_before_and_now_are_counted_where_they_coincide() -> None:
    report = red_report()
    text = paired_picture(report.run, report.base) or ""
    assert told(text) == "20 cases in both: 9 better, 11 worse, 0 the same."
    counts = [x.text for x in svg(text).iter(f"{NS}text") if x.attrib.get("class") == "count"]
    assert sorted(counts, key=str) == ["2", "6", "9"]


def test_cases_that_say_something_else_now_are_not_compared() -> None:
    report = red_report()
    known = base(report.run)
    other = {i: replace(c, content_hash="other") for i, c in known.cases.items()}
    assert paired_picture(report.run, replace(known, cases=other)) is None
    assert (
        paired_picture(report.run, replace(known, cases={"x": BaseCase("h", passed=True, scores={}, failed_by=())}))
        is None
    )
    assert paired_picture(report.run, None) is None


def test_graded_evaluators_have_a_histogram_of_their_own() -> None:
    report = red_report()
    titles = [title for title, _ in score_pictures(report.run, report.decision.eval_results)]
    assert titles == ["Mean score of each case", "Scores of kind-tone"]


def test_names_in_pictures_are_text() -> None:
    name = HOSTILE["script"] + HOSTILE["not xml"] + HOSTILE["surrogates"]
    rated = [replace(e, evaluator=name) for e in red_report().decision.eval_results]
    tags = {re.sub(r"\{.*\}", "", x.tag) for x in svg(rates_picture(rated) or "").iter()}
    assert tags == {"svg", "title", "desc", "line", "text", "rect"}
