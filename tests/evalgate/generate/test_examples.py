"""Which cases are examples, which belong together, and which are for what."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evalgate.align.clusters import cluster
from evalgate.align.labelled import seen_hash
from evalgate.align.store import made_from
from evalgate.files import to_json
from evalgate.generate.examples import choose_examples, clusters_of, modes_of
from evalgate.generate.split import SHARES, Part, parse_parts, split_examples, split_to_json
from schema.case import Case, CaseInput, Observed, Provenance
from schema.verdict import Verdict
from tests.evalgate.generate.planted import MODE, noise, planted

if TYPE_CHECKING:
    from pathlib import Path


def case(name: str, asked: str, said: str = "answer", verdict: Verdict | None = Verdict.GOOD, mode: str = "") -> Case:
    return Case(name, CaseInput((), asked), Observed(f"{said} {name}"), verdict=verdict, failure_mode=mode or None)


def test_partial_ones_and_other_modes_stay_out_and_are_counted() -> None:
    cases = [
        case("a", "one", verdict=Verdict.BAD, mode=MODE),
        case("b", "two"),
        case("c", "three", verdict=Verdict.PARTIAL, mode=MODE),
        case("d", "four", verdict=Verdict.BAD, mode="other"),
        case("e", "five", verdict=None),
        replace(case("f", "six"), observed=Observed()),
    ]
    found = choose_examples(cases, MODE)
    assert [(e.case.case_id, e.bad) for e in found.items] == [("a", True), ("b", False)]
    assert found.left_out == {"partial": 1, "another failure mode": 1, "no verdict": 1, "nothing observed": 1}
    widened = choose_examples(cases, MODE, other_modes=True)
    assert [(e.case.case_id, e.bad) for e in widened.items] == [("a", True), ("b", False), ("d", False)]
    assert modes_of(cases) == [("other", 1), (MODE, 1)]


def test_the_same_answer_counts_once_and_not_at_all_when_people_disagree_on_it() -> None:
    def said(name: str, verdict: Verdict, text: str) -> Case:
        mode = MODE if verdict is Verdict.BAD else None
        return Case(name, CaseInput((), "asked"), Observed(text), verdict=verdict, failure_mode=mode)

    cases = [
        said("a", Verdict.BAD, "x"),
        said("b", Verdict.BAD, "x"),
        said("c", Verdict.BAD, "y"),
        said("d", Verdict.GOOD, "y"),
        said("e", Verdict.GOOD, "z"),
    ]
    found = choose_examples(cases, MODE)
    assert [e.case.case_id for e in found.items] == ["a", "e"]
    assert found.left_out == {"labelled both ways": 2, "the same as another": 1}
    assert found.items[0].case_ids == ("a", "b")
    parts = parse_parts(json.loads(to_json(split_to_json(split_examples(MODE, found.items)))))
    assert len(parts) == 3
    assert (
        len({part for (case_id, _), part in parts.items() if case_id in "ab"}) == 1
    )  # who was trained on one has seen the other


def test_sessions_traces_and_nearly_the_same_questions_are_clusters() -> None:
    asked = [
        case("a", "Where is my order 1047? It never came"),
        case("b", "where is my order 2219?  It never came"),
        case("c", "Where is my order 2219? It never came!"),
        case("d", "Can I return a sofa that I have sat on?"),
        replace(case("e", "yes"), cluster="session-1"),
        replace(case("f", "yet"), cluster="session-1"),
        replace(case("g", "no"), provenance=Provenance(trace_id="ab" * 16)),
        replace(case("h", "on"), provenance=Provenance(trace_id="ab" * 16)),
        *(case(f"z{n}", word * 3) for n, word in enumerate(("alpha ", "gamma ", "delta ", "omega "))),
    ]
    names = dict(zip((c.case_id for c in asked), cluster(asked), strict=True))
    assert names["a"] == names["b"] == names["c"]
    assert names["e"] == names["f"]
    assert names["g"] == names["h"]
    assert len(set(names.values())) == 8
    assert dict(zip((c.case_id for c in asked[::-1]), cluster(asked[::-1]), strict=True)) == names


def test_where_all_questions_are_alike_only_equal_ones_are_kept_together() -> None:
    asked = [case(f"c{n}", f"Please refund order {n // 2}") for n in range(40)]
    assert len(set(cluster(asked))) == 20


def test_parts_hold_both_classes_in_their_shares_and_clusters_whole() -> None:
    cases = [
        replace(c, cluster=f"session-{n // 2}")
        for n, c in enumerate(planted(120, noise, bad=lambda n: n // 2 % 3 == 0))
    ]
    items = choose_examples(cases, MODE).items
    split = split_examples(MODE, items)
    for part, share in SHARES.items():
        held = split.part(part)
        assert sum(e.bad for e in held) == pytest.approx(share * 40, abs=2)
        assert sum(not e.bad for e in held) == pytest.approx(share * 80, abs=2)
    where = {e.case.case_id: p for p in Part for e in split.part(p)}
    assert len(where) == 120
    for places in clusters_of(items).values():
        assert len({where[items[i].case.case_id] for i in places}) == 1


@pytest.mark.parametrize("count", [16, 20, 21])
def test_few_labels_leave_no_part_without_a_class(count: int) -> None:
    split = split_examples(MODE, choose_examples(planted(count, noise), MODE).items)
    assert all({e.bad for e in part} == {True, False} for part in (split.search, split.test))
    if count >= 20:
        assert all({e.bad for e in split.part(p)} == {True, False} for p in Part)


def test_the_split_follows_from_the_cases_and_the_seed() -> None:
    items = choose_examples(planted(40, noise), MODE).items
    assert split_examples(MODE, items) == split_examples(MODE, items[::-1])
    assert split_examples(MODE, items).test != split_examples(MODE, items, seed=1).test


def test_what_was_trained_on_never_becomes_test_when_labels_are_added() -> None:
    items = choose_examples(planted(60, noise), MODE).items
    first = split_examples(MODE, items[:40])
    known = parse_parts(json.loads(to_json(split_to_json(first))))
    second = split_examples(MODE, items, known=known)
    for part in Part:
        assert {e.case.case_id for e in first.part(part)} <= {e.case.case_id for e in second.part(part)}
    assert len(second.test) == pytest.approx(0.45 * 60, abs=2)
    assert {e.case.case_id for e in split_examples(MODE, items).test} != {e.case.case_id for e in second.test}


def test_a_new_case_of_a_session_that_was_trained_on_is_trained_on(tmp_path: Path) -> None:
    cases = planted(41, noise)
    items = choose_examples([replace(cases[0], cluster="s"), *cases[1:40]], MODE).items
    known = {(e.case.case_id, seen_hash(e.case)): Part.TEST for e in items} | {
        ("case-0000", seen_hash(cases[0])): Part.TRAIN
    }
    more = choose_examples([replace(cases[0], cluster="s"), *cases[1:40], replace(cases[40], cluster="s")], MODE).items
    split = split_examples(MODE, more, known=known)
    assert {e.case.case_id for e in split.train} == {"case-0000", "case-0040"}
    (tmp_path / "m.split.json").write_text(to_json(split_to_json(split)))
    assert made_from("m", tmp_path) == {c.case_id: seen_hash(c) for c in (cases[0], cases[40])}


def test_another_case_of_a_known_id_is_free_to_go_anywhere() -> None:
    first = split_examples(MODE, choose_examples(planted(40, noise), MODE).items)
    known = parse_parts(json.loads(to_json(split_to_json(first))))
    others = choose_examples(planted(40, noise, seed=9), MODE).items
    assert split_examples(MODE, others, known=known) == split_examples(MODE, others)
