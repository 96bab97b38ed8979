"""Names of people: what is one name, and which two are one person's."""

from __future__ import annotations

import pytest

from schema.person import is_same_person, person_of


@pytest.mark.parametrize(
    "name",
    ["ADA", " ada\t", "a\u200bda", "ada\u2060", "ada\ufe0f", "ada\u034f", "\u00e1da", "\uff41da", "ada\u3164", "ada\0"],
)
def test_a_name_that_reads_the_same_is_the_same_person(name: str) -> None:
    assert is_same_person("ada", name)


@pytest.mark.parametrize(("one", "other"), [("ada", "adam"), ("ada", "bob"), ("ada l", "adal"), ("張偉", "張衛")])
def test_others_are_others(one: str, other: str) -> None:
    assert not is_same_person(one, other)


@pytest.mark.parametrize("name", ["a\u200bda", "ada\u202e", "ada\x1b[1m", "a\0", "ada\u3164", "\u2800", "a" * 81])
def test_what_nobody_sees_is_in_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        person_of(name)


def test_a_name_is_on_one_line() -> None:
    assert [person_of(n) for n in ("  Ada \n Lovelace", "José", "张伟", "")] == ["Ada Lovelace", "José", "张伟", ""]
