"""Rules over a message: what they change, and what they leave."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalgate.errors import BadInput
from evalgate.synthesize.commands import HELP_DIMENSIONS
from evalgate.synthesize.dimensions import Kind, choose, read_dimensions
from evalgate.synthesize.facts import facts_of, sentences_of
from evalgate.synthesize.language import is_same_script, language_of
from evalgate.synthesize.rules import Message, Variant, vary
from tests.evalgate.synthesize.cases import SOFA, TABLE, shipped

CATALOGUE = shipped()
BY_NAME = {(d.name, v.name): (d, v) for d in CATALOGUE.dimensions for v in d.values}


def varied(dimension: str, value: str, text: str = SOFA, *, seed: int = 0, others: tuple[str, ...] = ()) -> str | None:
    language = language_of(text, CATALOGUE.languages)
    message = Message(text, language, has_history=False, others=others, entities=CATALOGUE.entities)
    found = vary(message, BY_NAME[dimension, value][1], random.Random(seed))  # noqa: S311 - a draw
    return found.text if found else None


@pytest.mark.parametrize(
    ("dimension", "value", "text", "said"),
    [
        ("numbers", "next", "3 of 007 for $1,200 or 2.5 kg", "4 of 008 for $1,201 or 3.5 kg"),
        ("numbers", "tenfold", "1.200 Stück, Nr. 12", "12.000 Stück, Nr. 120"),
        ("numbers", "next", "see ORD-12, 2026-01-02, a1@b2.de and https://x.de/3", None),
        ("dates", "next_day", "on 2026-02-28, 31.12.2026 or 12/31/2026", "on 2026-03-01, 01.01.2027 or 01/01/2027"),
        ("dates", "next_day", "on 2026-02-30, at 10:30", None),
        ("order", "backwards", "I paid. It broke! Why?", "Why? It broke! I paid."),
        ("order", "last_first", "one\ntwo\nthree", "three one two"),
        ("order", "backwards", "Only one sentence 1.5 long.", None),
        ("missing", "a_fact", "Where is order #1027?", "Where is order?"),
        ("missing", "a_fact", "Where is it?", None),
        ("missing", "a_fact", "I bought it on 2026-10-03 for $5.", "I bought it for $5."),
        ("missing", "a_fact", "Ich habe es für €5 gekauft.", "Ich habe es gekauft."),
        ("missing", "first_sentence", "I paid. It broke.", "It broke."),
        ("missing", "last_sentence", "I paid. It broke.", "I paid."),
        ("missing", "cut_off", "a b c d e f g h i j", "a b c d e f"),
        ("missing", "cut_off", "too short", None),
        ("persona", "newcomer", "12345", None),
        ("persona", "newcomer", "Dove si trova il mio ordine, per favore?", None),
        (
            "channel",
            "voice",
            "Can I return it, please? It cost 2.50.",
            "um hi yes so can i return it please it cost 2.50 yeah that's what I wanted to ask",
        ),
        ("entities", "swapped", "Is it there?", None),
        ("numbers", "next", "注文番号4711はいつ届きますか？", "注文番号4712はいつ届きますか？"),
        ("missing", "last_sentence", "注文4711は？急いでいます。", "注文4711は？"),
        ("typos", "many", "注文番号4711はいつ届きますか？", None),
    ],
)
def test_a_rule_changes_what_it_says_and_nothing_else(dimension: str, value: str, text: str, said: str | None) -> None:
    assert varied(dimension, value, text) == said


def test_entities_are_swapped_alike_wherever_they_stand() -> None:
    said = varied(
        "entities", "swapped", "Anna and Ben took ORD-88 from Rome to Rome; write to anna@x.org about ORD-88."
    )
    assert said is not None
    assert not {"Anna", "Ben", "Rome", "ORD-88", "anna@x.org"} & set(said.replace(".", "").replace(";", "").split())
    words = said.split()
    assert words[6] == words[8].rstrip(";"), "the same place twice"
    assert words[4].startswith("ORD-")
    assert words[-1].rstrip(".") == words[4]
    assert "@example.com" in said


def test_another_request_comes_from_another_case() -> None:
    assert varied("several", "of_another_case") is None
    said = varied("several", "of_another_case", "Where is it?", others=("Who are you?",))
    assert said == "Where is it? And another thing: Who are you?"


def test_what_was_said_before_can_be_more_or_nothing() -> None:
    less = BY_NAME["no_context", "last_message_alone"][1]
    assert vary(Message(SOFA, "en", has_history=False), less, random.Random(0)) is None  # noqa: S311 - a draw
    assert vary(Message(SOFA, "en", has_history=True), less, random.Random(0)) == Variant(SOFA, is_alone=True)  # noqa: S311
    more = BY_NAME["context", "after_small_talk"][1]
    found = vary(Message(TABLE, "de", has_history=False), more, random.Random(0))  # noqa: S311 - a draw
    assert found is not None
    assert found.before[0][0].startswith("Hallo")


TEXT = st.text(max_size=80) | st.lists(
    st.sampled_from(
        [
            "Anna",
            "ORD-8812",
            "a@b.de",
            "2026-10-03",
            "31.12.2026",
            "1,200",
            "broken.",
            "return",
            "the",
            "die",
            "https://x.de/1",
            "Why?",
            "\u202e",
            "ﬁ",
            "٣",
            "²",
            "\n",
            "straße",
            "\ud800",
        ]
    ),
    max_size=15,
).map(" ".join)


@given(TEXT, st.sampled_from(sorted(BY_NAME)), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_no_message_is_too_odd_and_chance_alone_decides(text: str, name: tuple[str, str], seed: int) -> None:
    dimension, value = BY_NAME[name]
    if value.kind is Kind.ASK:
        return
    message = Message(text, "en", has_history=True, others=("Who are you?",), entities=CATALOGUE.entities)
    first, second = (vary(message, value, random.Random(seed)) for _ in range(2))  # noqa: S311 - a draw
    assert first == second
    if first is not None and dimension.keeps_meaning and dimension.name != "channel":
        assert facts_of(text) <= facts_of(first.text), "a fact is lost"


def test_facts_and_sentences_are_found() -> None:
    assert facts_of(SOFA) == {"2026-10-03", "1,200", "ord-8812", "30"}
    assert facts_of("Write to a.b@c.org. See https://x.org/a?b=1.") == {"a.b@c.org", "https://x.org/a?b=1"}
    assert sentences_of("One. Two 2.5!\n\nThree") == ["One.", "Two 2.5!", "Three"]


def test_languages_and_scripts_are_told_or_left_open() -> None:
    assert language_of(SOFA, CATALOGUE.languages) == "en"
    assert language_of(TABLE, CATALOGUE.languages) == "de"
    assert language_of("ORD-8812 4711", CATALOGUE.languages) is None
    assert language_of("注文はどこですか", CATALOGUE.languages) is None
    assert is_same_script("where is it", "où est-il?")
    assert not is_same_script("where is it", "где мой заказ")
    assert is_same_script("4711", "где")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dimensions: {}", "must have 1 to 100 entries"),
        ("dimensions: {a: {values: {b: {typos: 0.1}}}}", "lacks 'keeps_meaning'"),
        ("dimensions: {a: {keeps_meaning: true, values: {b: {typos: 2}}}}", "above 0 and up to 1, not 2"),
        ("dimensions: {a: {keeps_meaning: true, values: {b: {}}}}", "it has none"),
        ("dimensions: {a: {keeps_meaning: true, values: {b: {order: x}}}}", "backwards, last_first, not 'x'"),
        ("dimensions: {a: {keeps_meaning: true, values: {b: {frame: {en: {}}}}}}", "a frame has 'before'"),
        ("dimensions: {a: {keeps_meaning: true, values: {b: {history: {en: [[x]]}}}}}", "two texts each"),
        ("dimensions: {'a/b': {keeps_meaning: true, values: {}}}", "cannot name a dimension"),
        ("dimensions: {1: {keeps_meaning: true, values: {}}}", "put it in quotes"),
        ("dimension: {}", "unknown field 'dimension'. Did you mean 'dimensions'?"),
        ("- a", "must be an object"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_of_dimensions_is_read_strictly(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "dims.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as e:
        read_dimensions(path)
    assert words in str(e.value)
    assert "dims.yaml" in str(e.value)


def test_dimensions_are_chosen_by_name_or_read_from_a_file(tmp_path: Path) -> None:
    assert [d.name for d in choose(CATALOGUE, "typos, order")] == ["typos", "order"]
    path = tmp_path / "own.yaml"
    path.write_text("dimensions: {mood: {keeps_meaning: true, values: {sad: {frame: {en: {after: ' :('}}}}}}")
    (own,) = choose(CATALOGUE, str(path))
    assert (own.name, own.values[0].frames["en"].after, own.needs_model) == ("mood", " :(", False)


def test_texts_of_every_language_that_is_known_read_as_it() -> None:
    assert all(isinstance(w, str) for words in CATALOGUE.languages.values() for w in words), "no is not False"
    for dimension in CATALOGUE.dimensions:
        for value in dimension.values:
            said = {k: f"{f.before} {f.after}" for k, f in value.frames.items()}
            said |= {k: " ".join(t for turn in turns for t in turn) for k, turns in value.turns.items()}
            if said:
                assert said.keys() == CATALOGUE.languages.keys(), f"{dimension.name}={value.name}"
            for language, text in said.items():
                assert language_of(text, CATALOGUE.languages) in (language, None), text


def test_the_page_and_the_help_name_every_dimension() -> None:
    page = (Path(__file__).parents[3] / "docs" / "synthesizing.md").read_text(encoding="utf-8")
    for dimension in CATALOGUE.dimensions:
        (row,) = [line for line in page.split("\n") if line.startswith(f"| `{dimension.name}` |")]
        assert row.rsplit("|", 2)[1].strip().startswith("yes" if dimension.keeps_meaning else "no")
        assert dimension.name in HELP_DIMENSIONS
