"""Measurements kept, compared over time, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from evalgate.align.labelled import seen_hash
from evalgate.align.show import advice, details
from evalgate.align.store import append_measurement, latest, made_from, read_measurements
from evalgate.align.track import HowToAlign, align
from evalgate.errors import BadInput
from evalgate.model.chat import ModelError, ModelErrorKind
from schema.alignment import DEFAULT_POLICY, Confusion, Measurement, Permission, Reason, Split
from schema.case import CaseInput
from schema.verdict import Verdict
from tests.evalgate.align.examples import WRONG, ScriptedModel, bad, judge, many, rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evalgate.align.track import Aligned
    from schema.case import Case
    from schema.evaluator import Evaluator

    Align = Callable[[Evaluator, Sequence[Case]], Aligned]

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ONE = Measurement("window", "v1", "d1", Split.TEST, NOON.isoformat(), Confusion(9, 1, 1, 9))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evals" / "alignment"


@pytest.fixture
def measure(folder: Path) -> Align:
    """Return what aligns, at a later minute each time."""
    minutes = iter(range(60))

    def measure(evaluator: Evaluator, cases: Sequence[Case]) -> Aligned:
        at = NOON.replace(minute=next(minutes))
        return align(evaluator, cases, HowToAlign(folder=folder), now=lambda: at)

    return measure


def test_measurements_are_appended_and_never_repeated(folder: Path) -> None:
    assert read_measurements("window", folder) == ()
    assert append_measurement(ONE, folder)
    assert not append_measurement(replace(ONE, at="2026-11-22T00:00:00+00:00"), folder), "it says nothing new"
    two = replace(ONE, data_version="d2", at="2026-11-23T00:00:00+00:00")
    new = replace(two, split=Split.NEW, data_version="d3")
    assert append_measurement(two, folder)
    assert append_measurement(new, folder)
    assert read_measurements("window", folder) == (ONE, two, new)
    assert latest("window", "v1", folder) == two, "what is measured on new labels alone gives no permission"
    assert latest("window", "v2", folder) is None


def test_a_line_that_lacks_its_newline_is_not_continued(folder: Path) -> None:
    append_measurement(ONE, folder)
    path = folder / "window.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append_measurement(replace(ONE, data_version="d2"), folder)
    assert len(read_measurements("window", folder)) == 2


def test_a_judge_with_another_model_was_not_measured(folder: Path) -> None:
    append_measurement(replace(ONE, model="m-1"), folder)
    assert latest("window", "v1", folder, model="m-1") is not None
    assert latest("window", "v1", folder, model="m-2") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1: this is not JSON.*evals align window"),
        ('{"evaluator": "window"}', "line 1: a measurement"),
        (json.dumps({"evaluator": "x", "version": "v", "data_version": "d", "split": "all", "at": "t"}), "of 'x'"),
    ],
)
def test_a_wrong_line_is_told_with_its_place(folder: Path, text: str, words: str) -> None:
    folder.mkdir(parents=True)
    (folder / "window.jsonl").write_text(text + "\n", "utf-8")
    with pytest.raises(BadInput, match=words):
        read_measurements("window", folder)


def test_an_id_is_no_path(folder: Path) -> None:
    with pytest.raises(BadInput, match="cannot be the id"):
        read_measurements("../../etc/passwd", folder)


def test_an_evaluator_is_not_measured_on_what_it_was_made_from(folder: Path, measure: Align) -> None:
    cases = many(12)
    folder.mkdir(parents=True)
    seen = {c.case_id: seen_hash(c) for c in cases}
    made = {"train": ("case-b1", "case-g1"), "validation": ("case-b2",), "test": ("case-b3",)}
    parts = {part: {i: seen[i] for i in ids} for part, ids in made.items()}
    (folder / "window.split.json").write_text(json.dumps({"schema": "evalgate/split/1", "parts": parts}), "utf-8")
    assert set(made_from("window", folder)) == {"case-b1", "case-g1", "case-b2"}
    found = measure(rule(generated=True), cases)
    assert found.measurement is not None
    assert found.measurement.left_out == 3
    assert found.measurement.confusion == Confusion(10, 0, 0, 11)
    by_hand = measure(rule("hand"), cases)
    assert by_hand.measurement is not None
    assert by_hand.measurement.confusion.n == 24


def test_a_generated_rule_earns_permission_with_labels(measure: Align, folder: Path) -> None:
    few = measure(rule(generated=True), many(5))
    assert (few.grant.permission, few.grant.reason) == (Permission.MONITOR, Reason.TOO_FEW_LABELS)
    assert "10 labels more, with as much agreement, would let it block" in advice(few)[0]
    enough = measure(rule(generated=True), many(12))
    assert enough.grant.permission is Permission.BLOCK
    assert latest("window", enough.spec.version, folder) == enough.measurement


def test_agreement_that_drops_on_new_labels_raises_an_alarm(measure: Align, folder: Path) -> None:
    first = measure(rule(generated=True), many(20, day=1))
    assert first.new is None
    assert not first.wants_generating
    later = [*many(20, day=1), *many(8, missed=5, alarmed=2, day=9, start=50)]
    found = measure(rule(generated=True), later)
    assert found.new is not None
    assert found.new.confusion == Confusion(tp=3, fp=2, fn=5, tn=6)
    assert found.drop is not None
    assert found.drop.is_alarm
    assert found.new_labels == 16
    assert found.wants_generating
    said = " ".join(details(found, HowToAlign().policy))
    assert "ALARM: on 16 labels that came since, MCC is 0.13 where it was 1.00" in said
    assert "16 labels came since it was generated: evalgate evals generate --issue 1" in said
    assert [m.split for m in read_measurements("window", folder)] == [Split.ALL, Split.ALL, Split.NEW]
    again = measure(rule(generated=True), later)
    assert again.drop == found.drop, "new labels are those since the first measurement, and stay new"
    assert not again.is_kept


def test_new_labels_on_which_it_agrees_raise_none(measure: Align) -> None:
    measure(rule(generated=True), many(20, day=1))
    found = measure(rule(generated=True), [*many(20, day=1), *many(3, missed=1, day=9, start=50)])
    assert found.drop is not None
    assert not found.drop.is_alarm
    assert not found.wants_generating, "six of forty"


def test_new_labels_are_compared_with_the_measurement_that_gave_permission(measure: Align) -> None:
    measure(rule(generated=True), many(3, day=1))
    permitted = measure(rule(generated=True), [*many(3, day=1), *many(20, day=2, start=10)])
    assert permitted.grant.permission is Permission.BLOCK
    assert permitted.new is not None
    assert permitted.new.confusion.n == 40, "against the first, of six labels"
    later = [*many(3, day=1), *many(20, day=2, start=10), *many(8, missed=5, day=3, start=50)]
    found = measure(rule(generated=True), later)
    assert found.new is not None
    assert found.new.confusion.n == 16
    assert found.drop is not None
    assert found.drop.is_alarm


def test_a_changed_rule_starts_anew(measure: Align) -> None:
    measure(rule(generated=True), many(20, day=1))
    changed = measure(rule(generated=True, text="90 days"), [*many(20, day=1), *many(8, missed=5, day=9, start=50)])
    assert changed.drop is None
    assert changed.new_labels == 0


def test_a_judge_that_did_not_answer_keeps_the_permission_it_had(measure: Align, folder: Path) -> None:
    model = ScriptedModel(lambda data, _: float("90 days" not in data))
    found = measure(judge(model), many(12))
    assert found.grant.permission is Permission.BLOCK
    model.answer = lambda _, __: ModelError(ModelErrorKind.CONNECTION, "nobody answers")
    broken = measure(judge(model), many(13))
    assert broken.measurement is None
    assert broken.grant.permission is Permission.BLOCK
    assert broken.problem is not None
    assert "26 of 26 cases could not be judged" in broken.problem
    assert "nobody answers" in broken.problem
    assert len(read_measurements("polite", folder)) == 1


def test_without_a_case_of_its_mode_there_is_nothing_to_measure(measure: Align, folder: Path) -> None:
    found = measure(rule(generated=True), [bad("1", mode="tone")])
    assert found.problem is not None
    assert "no labelled case tells of 'refund window' (left out: 1 another failure mode)" in found.problem
    assert not folder.exists()


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    found = align(rule(), many(3), HowToAlign(folder=folder, keep=False), now=lambda: NOON)
    assert found.measurement is not None
    assert not folder.exists()


def test_a_narrow_rule_by_hand_is_not_blamed_for_answers_it_never_sees(measure: Align) -> None:
    asks_for_a_ticket = rule("ticket", rule={"type": "contains", "text": "ticket"})
    said = list(details(measure(asks_for_a_ticket, many(4)), HowToAlign().policy))
    assert any("in a run it judges cases of its failure mode alone" in line for line in said)
    assert not any("fails what people call good" in line for line in said)
    everywhere = rule("ticket", rule={"type": "contains", "text": "ticket"}, applies_to="all")
    said = list(details(measure(everywhere, many(4)), HowToAlign().policy))
    assert any("fails what people call good" in line for line in said)
    missing = list(details(measure(rule(), many(4, missed=3)), HowToAlign().policy))
    assert any("it misses 3 of 4 bad ones" in line for line in missing)


@pytest.mark.parametrize("label", [Verdict.BAD, Verdict.GOOD])
def test_labels_of_one_class_take_no_permission_away(folder: Path, measure: Align, label: Verdict) -> None:
    assert measure(rule(generated=True), many(12)).grant.permission is Permission.BLOCK
    before = read_measurements("window", folder)
    found = measure(rule(generated=True), [c for c in many(8, day=9, start=50) if c.verdict is label])
    assert found.grant.permission is Permission.BLOCK
    assert (found.sunk_from, found.is_kept, read_measurements("window", folder)) == (None, False, before)
    (said,) = [line for line in details(found, DEFAULT_POLICY) if "not kept" in line]
    assert "the one of 2026-11-21 counts" in said


def test_a_first_measurement_of_one_class_is_not_kept(folder: Path, measure: Align) -> None:
    found = measure(rule(generated=True), [c for c in many(8) if c.verdict is Verdict.GOOD])
    assert found.measurement is not None
    assert (found.measurement.confusion.tn, found.grant.reason) == (8, Reason.UNDEFINED_MCC)
    assert "no case here is labelled bad with 'refund window', so this measurement is not kept" in "\n".join(
        details(found, DEFAULT_POLICY)
    )
    assert read_measurements("window", folder) == ()


def test_a_permission_that_sinks_is_an_alarm(measure: Align) -> None:
    assert measure(rule(generated=True), many(12)).sunk_from is None
    found = measure(rule(generated=True), many(3))
    assert (found.grant.permission, found.sunk_from) == (Permission.MONITOR, Permission.BLOCK)
    assert "ALARM: it may monitor where it might block before" in advice(found)


def test_labels_of_nearly_the_same_questions_count_as_one(measure: Align) -> None:
    """Six questions, four answers each: a measurement on six questions, not on 24."""
    asked = ("return a coat", "find my parcel", "change the address", "close an account", "see a bill", "get a voucher")
    cases = [
        replace(c, input=CaseInput((), f"Tell me please how to {asked[n % 6]}, I asked {n // 6} times"))
        for n, c in enumerate(many(12))
    ]
    found = measure(rule(generated=True), cases)
    assert found.measurement is not None
    assert (found.measurement.confusion.n, found.measurement.clusters) == (24, 6)
    assert found.grant.permission is Permission.MONITOR
    assert measure(rule("other", generated=True), many(12)).grant.permission is Permission.BLOCK


@pytest.mark.parametrize(("price", "told"), [(0.01, ["  cost $0.1600"]), (None, ["  cost unknown for 16 verdicts"])])
def test_a_price_that_nobody_knows_is_no_zero(measure: Align, price: float | None, told: list[str]) -> None:
    found = measure(judge(ScriptedModel(lambda said, _: 0.0 if WRONG in said else 1.0, cost_usd=price)), many(8))
    assert [line for line in details(found, DEFAULT_POLICY) if "cost" in line] == told
