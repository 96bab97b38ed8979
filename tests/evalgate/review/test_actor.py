"""Who decides on the command line has a name that others can read."""

from __future__ import annotations

import pytest

from evalgate.errors import BadInput
from evalgate.review.actor import actor_or_user


def test_who_names_nobody_is_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert [actor_or_user(n) for n in (None, " ", " bob ")] == ["ada", "ada", "bob"]


@pytest.mark.parametrize(("given", "user"), [("ada\u200b", "ada"), (None, "ada\u200b")])
def test_a_name_with_what_nobody_sees_is_refused(given: str | None, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", user)
    with pytest.raises(BadInput, match=r"'ada\\u200b' holds characters that nobody sees.*--actor NAME"):
        actor_or_user(given)
