"""Drafts: the same each time, none twice, quarantined, and never with an answer that nobody gave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evalgate.align.labelled import choose as choose_labelled
from evalgate.issues.store import issues_of_cases
from evalgate.synthesize.draft import asked_text
from evalgate.synthesize.make import NO_TEXT, TOO_LONG, make
from evalgate.synthesize.plan import plan
from schema.case import CaseInput, case_to_json, parse_case
from schema.draft import Method
from schema.evaluator import AppliesTo, EvalType, EvaluatorSpec, Judge
from tests.evalgate.synthesize.cases import SOFA, TABLE, failure, order_of, shipped, texts

if TYPE_CHECKING:
    from schema.case import Case

CATALOGUE = shipped()


@pytest.fixture
def sources() -> list[Case]:
    return [failure(1), failure(2, TABLE), failure(3, "Is the shop open on Sunday? I have 2 children with me.")]


def test_dimensions_and_sources_take_turns(sources: list[Case]) -> None:
    made = make(sources, sources, CATALOGUE, order_of(CATALOGUE, count=11))
    assert len(made.drafts) == 11
    assert max(t.made for t in made.tallies.values()) <= 2, "a message without a date lets the next dimension go on"
    assert len({d.provenance.synthesis.case_id for d in made.drafts if d.provenance.synthesis}) == 3
    assert not made.is_exhausted


def test_the_same_order_makes_the_same_drafts_in_whatever_order_the_sources_come(sources: list[Case]) -> None:
    order = order_of(CATALOGUE, count=30)
    first = make(sources, sources, CATALOGUE, order)
    assert make(sources[::-1], sources, CATALOGUE, order).drafts == first.drafts
    other = make(sources, sources, CATALOGUE, replace(order, seed=1))
    assert texts(other.drafts) != texts(first.drafts)


def test_again_makes_nothing_new_and_a_larger_count_makes_more(sources: list[Case]) -> None:
    first = make(sources, sources, CATALOGUE, order_of(CATALOGUE, count=12))
    there = [*sources, *first.drafts]
    ids = {c.case_id for c in there}
    again = make(sources, there, CATALOGUE, order_of(CATALOGUE, count=12), known_ids=ids)
    assert (again.drafts, [c.case_id for c in again.known]) == ((), [c.case_id for c in first.drafts])
    more = make(sources, there, CATALOGUE, order_of(CATALOGUE, count=20), known_ids=ids)
    assert len(more.drafts) == 8


def test_no_draft_says_what_something_says_that_is_there(sources: list[Case]) -> None:
    first = make(sources, sources, CATALOGUE, order_of(CATALOGUE, "persona"))
    taken = parse_case({"case_id": "case-by-hand", "input": texts(first.drafts)[0].upper()})
    second = make(sources, [*sources, taken], CATALOGUE, order_of(CATALOGUE, "persona"))
    assert texts(second.drafts) == texts(first.drafts)[1:]
    assert second.tallies["persona"].duplicates == 1
    asked = [asked_text(d) for d in second.drafts]
    assert len(set(asked)) == len(asked)
    twins = make([failure(1), failure(4)], sources, CATALOGUE, order_of(CATALOGUE, "persona"))
    assert len(twins.drafts) == 4, "two sources that ask the same make one set of drafts"


def test_an_answer_is_expected_only_where_the_meaning_stays(sources: list[Case]) -> None:
    made = make(sources, sources, CATALOGUE, order_of(CATALOGUE))
    by_name = {d.name: d for d in CATALOGUE.dimensions}
    kept = set()
    for draft in made.drafts:
        synthesis = draft.provenance.synthesis
        assert synthesis is not None
        keeps = by_name[synthesis.dimension].keeps_meaning
        assert synthesis.keeps_meaning is keeps
        assert draft.expected_output == ("30 days." if keeps else None), synthesis.dimension
        kept.add(keeps)
    assert kept == {True, False}


def test_a_draft_claims_nothing_that_nobody_saw(sources: list[Case]) -> None:
    made = make(sources, sources, CATALOGUE, order_of(CATALOGUE, count=5))
    spec = EvaluatorSpec("e", "policy_hallucination", EvalType.LLM_JUDGE, Judge("c"), AppliesTo(all=True))
    assert choose_labelled(spec, made.drafts).items == (), "nobody judged it: it measures no evaluator"
    for draft in made.drafts:
        synthesis = draft.provenance.synthesis
        assert synthesis is not None
        source = next(s for s in sources if s.case_id == synthesis.case_id)
        assert (draft.verdict, draft.observed.output, draft.observed.tool_calls) == (None, None, ())
        assert (draft.provenance.sample_weight, draft.provenance.annotator) == (None, None)
        assert draft.provenance.trace_id == source.provenance.trace_id, "who is erased is erased here too"
        assert (draft.cluster, draft.failure_mode) == (source.case_id, source.failure_mode)
        assert (draft.provenance.drafted_by, draft.provenance.is_draft) == ("ann", True)
        assert (synthesis.method, synthesis.source_hash) == (Method.TEMPLATE, source.content_hash)
        assert draft.tags == ("synthetic", "synthetic:template", f"{synthesis.dimension}={synthesis.value}")


def test_variants_are_no_occurrences_of_their_issue(sources: list[Case]) -> None:
    made = make(sources, sources, CATALOGUE, order_of(CATALOGUE, count=5))
    (issue,) = issues_of_cases([*sources, *made.drafts])
    assert (issue.occurrences, len(issue.cases)) == (3, 8)


def test_a_cluster_stays_the_cluster_of_the_source() -> None:
    source = failure(1, cluster="session-7")
    made = make([source], [source], CATALOGUE, order_of(CATALOGUE, count=3))
    assert {d.cluster for d in made.drafts} == {"session-7"}


def test_what_was_said_before_and_pictures_stay() -> None:
    picture = {"type": "uri", "uri": "https://x.org/a.png"}
    messages = (
        {"role": "user", "parts": [{"type": "text", "content": "Hello"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Hi"}]},
        {"role": "user", "parts": [picture, {"type": "text", "content": SOFA}]},
    )
    source = replace(failure(1), input=CaseInput(messages, SOFA))
    made = make([source], [source], CATALOGUE, order_of(CATALOGUE, "typos,no_context,context"))
    by_dimension = {d.provenance.synthesis.dimension: d for d in made.drafts if d.provenance.synthesis}
    typos, alone, more = (by_dimension[n].input for n in ("typos", "no_context", "context"))
    assert typos.messages[:2] == messages[:2]
    assert typos.messages[2]["parts"] == [{"type": "text", "content": typos.text}, picture]
    assert [m["role"] for m in alone.messages] == ["user"]
    assert [m["role"] for m in more.messages] == ["user", "assistant", "user", "assistant", "user", "assistant", "user"]
    assert more.messages[4:6] == messages[:2]


def test_sources_that_cannot_be_varied_are_told() -> None:
    blank = replace(failure(1), input=CaseInput(({"role": "user", "parts": [{"type": "uri", "uri": "x"}]},), None))
    half = failure(3, "where is \ud800 order 4711?")
    made = make([blank, failure(2, "x" * 20_001), half], [half], CATALOGUE, order_of(CATALOGUE))
    assert made.drafts == ()
    assert set(made.unused.values()) == {1}
    assert {NO_TEXT, TOO_LONG, "it holds half a character (\\ud800)"} == set(made.unused)
    assert made.is_exhausted


def test_the_words_of_another_case_are_erased_with_its_trace() -> None:
    sources = [failure(1), failure(2, "What do you ship to Norway, and when is it there?")]
    made = make(sources, sources, CATALOGUE, order_of(CATALOGUE, "several"))
    mixed = [d for d in made.drafts if d.provenance.synthesis and d.provenance.synthesis.value == "of_another_case"]
    assert len(mixed) == 2
    for draft in mixed:
        assert draft.provenance.traces == {s.provenance.trace_id for s in sources}
        assert parse_case(case_to_json(draft)) == draft
    alone = [d for d in made.drafts if d not in mixed]
    assert all(d.provenance.traces == {d.provenance.trace_id} for d in alone)


def test_a_plan_is_the_whole_of_it(sources: list[Case]) -> None:
    order = order_of(CATALOGUE)
    found = plan(sources, order.dimensions, 0)
    assert len({a.key for a in found}) == len(found) == 3 * sum(len(d.values) for d in order.dimensions)
