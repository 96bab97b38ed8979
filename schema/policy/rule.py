"""What every rule of a policy is: a condition on a span, with a name."""

from __future__ import annotations

import re
from typing import Final

from pydantic import field_validator

from schema.component import ComponentConfig
from schema.condition import ConditionError, parse_condition

RULE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_RULES: Final = 100
"""Of each kind. A rule costs time for every span (docs/failing.md and docs/sampling.md say how much)."""


class Rule(ComponentConfig):
    """A condition of the user's own; both parts are checked before anything starts."""

    name: str
    when: str

    @field_validator("name")
    @classmethod
    def _is_a_word(cls, name: str) -> str:
        if not RULE_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a rule: lower-case letters, digits and _, a letter first, 64 at most"
            )
        return name

    @field_validator("when")
    @classmethod
    def _is_understood(cls, when: str) -> str:
        try:
            parse_condition(when)
        except ConditionError as e:
            raise ValueError(str(e)) from None
        return when
