"""Failure modes that are renamed, merged and split: what words mean afterwards, in whichever order it was done."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalgate.errors import BadInput
from evalgate.issues.modes import Mode, suggest_merges
from evalgate.issues.taxonomy import Action, Change, Meaning, Row, Taxonomy, merge, rename, split, taxonomy, undoable

FIRST = {"a": 1, "b": 2, "c": 3}


class World:
    """A taxonomy with changes, and the plain truth beside it: which issue each word and label belongs to."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.opened = dict(FIRST)

    @property
    def known(self) -> Taxonomy:
        """Number modes as the view `issues` does: by what the word they were opened with means by now."""
        bare = taxonomy({}, self.changes, len(self.changes))
        numbers = {}
        for word, number in self.opened.items():
            meaning = bare.words.get(word, Meaning(word, number))
            if meaning.issue == number:
                numbers[meaning.mode] = number
        return taxonomy(numbers, self.changes, len(self.changes))

    def make(self, action: Action, rows: tuple[Row, ...]) -> None:
        self.changes.append(Change(len(self.changes) + 1, action, "", "ann", "", rows))

    def undo(self, number: int | None = None) -> int:
        found = undoable(self.known, number)
        at = self.changes.index(found)
        self.changes[at] = Change(found.number, found.action, "", "ann", "", found.rows, is_undone=True)
        return found.number

    def label(self, name: str, said: str) -> str:
        found = self.known.labels.get(name)
        return found.mode if found else self.known.means(said)


def test_a_chain_of_changes_and_all_of_it_taken_back() -> None:
    world = World()
    world.make(Action.RENAMED, rename(world.known, "a", "alpha"))
    assert world.known.numbers == {"alpha": 1, "b": 2, "c": 3}
    world.make(Action.SPLIT, split(world.known, "alpha", ["l1"], Meaning("b", 2)))
    world.make(Action.MERGED, merge(world.known, "b", "c"))
    assert (world.label("l1", "a"), world.label("l2", "a"), world.label("l3", "b")) == ("c", "alpha", "c")
    assert world.known.numbers == {"alpha": 1, "c": 3}
    world.make(Action.MERGED, merge(world.known, "c", "alpha"))
    assert {world.label("l1", "a"), world.label("l2", "a"), world.label("l3", "b"), world.label("l4", "c")} == {"alpha"}
    assert world.known.aliases("alpha") == ("a", "b", "c")
    world.undo()
    world.undo()
    assert (world.label("l1", "a"), world.label("l3", "b"), world.known.numbers) == (
        "b",
        "b",
        {"alpha": 1, "b": 2, "c": 3},
    )
    world.undo()
    world.undo()
    assert world.known.numbers == FIRST
    with pytest.raises(BadInput, match="no change"):
        world.undo()


def test_a_name_may_go_back_to_what_it_was() -> None:
    world = World()
    world.make(Action.RENAMED, rename(world.known, "a", "alpha"))
    world.make(Action.RENAMED, rename(world.known, "alpha", "a"))
    assert (world.known.means("a"), world.known.means("alpha"), world.known.numbers["a"]) == ("a", "a", 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("x", "y", "no failure mode 'x'. Known: alpha, b, c"),
        ("b", "b", "called so already"),
        ("b", "c", "is issue 3 already. To make the two one: evalgate modes merge 2 3"),
        ("b", "a", "'a' means 'alpha' since it was renamed or merged"),
    ],
)
def test_a_name_that_cannot_be_says_why(old: str, new: str, words: str) -> None:
    world = World()
    world.make(Action.RENAMED, rename(world.known, "a", "alpha"))
    with pytest.raises(BadInput, match=words):
        rename(world.known, old, new)


def test_only_what_nothing_later_rests_on_is_taken_back() -> None:
    world = World()
    world.make(Action.RENAMED, rename(world.known, "a", "alpha"))
    world.make(Action.MERGED, merge(world.known, "b", "alpha"))
    world.make(Action.RENAMED, rename(world.known, "c", "gamma"))
    with pytest.raises(BadInput, match="change 2 is about the same modes and came later"):
        world.undo(1)
    assert world.undo(2) == 2
    assert world.undo(1) == 1
    with pytest.raises(BadInput, match="taken back before"):
        world.undo(1)
    with pytest.raises(BadInput, match="Those that stand: 3"):
        world.undo(9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("rmsu"), st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_no_word_is_lost_and_every_meaning_is_a_mode_that_stands(steps: list[tuple[str, int, int]]) -> None:
    """Words and labels go with the mode they meant before each change; an undo gives back what was before it."""
    world = World()
    said = {"l1": "a", "l2": "b", "l3": "c"}
    states: list[dict[str, str]] = []
    for kind, i, j in steps:
        known = world.known
        modes = sorted(known.numbers)
        old, other = modes[i % len(modes)], modes[j % len(modes)]
        before = {name: world.label(name, word) for name, word in said.items()}
        if kind == "u":
            if states:
                world.undo()
                assert {name: world.label(name, word) for name, word in said.items()} == states.pop()
            continue
        if kind == "r":
            new = f"n{len(world.changes)}"
            world.make(Action.RENAMED, rename(known, old, new))
            expected = {name: new if mode == old else mode for name, mode in before.items()}
        elif old == other:
            continue
        elif kind == "m":
            world.make(Action.MERGED, merge(known, old, other))
            expected = {name: other if mode == old else mode for name, mode in before.items()}
        else:
            chosen = [name for name, mode in before.items() if mode == old][:1]
            if not chosen:
                continue
            world.make(Action.SPLIT, split(known, old, chosen, Meaning(other, known.numbers[other])))
            expected = {**before, chosen[0]: other}
        states.append(before)
        after = {name: world.label(name, word) for name, word in said.items()}
        assert after == expected
        assert set(after.values()) <= set(world.known.numbers)


def test_names_that_are_nearly_the_same_are_suggested_and_no_others() -> None:
    modes = [Mode("Wrong tone", 1, 9), Mode("wrong_tone", 2, 3), Mode("tool loop", 3, 5), Mode("tool-loops", 4, 5)]
    found = [(s.fewer.issue, s.more.issue) for s in suggest_merges([*modes, Mode("refund policy", 5, 1)])]
    assert found == [(2, 1), (4, 3)]
