"""What a flagger may say of a trace: one of a fixed list."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Category(StrEnum):
    """The one thing that is most wrong, or nothing."""

    REFUSAL = "refusal"
    LAZINESS = "laziness"
    FRUSTRATION = "frustration"
    FORGETTING = "forgetting"
    LOOPING = "looping"
    WRONG_TOOL = "wrong_tool"
    JAILBREAK = "jailbreak"
    OFF_POLICY = "off_policy"
    OTHER = "other"
    NONE = "none"


UNREADABLE: Final = "unreadable"
"""In the table, of an answer that was no verdict: it is not paid for again."""
MEANINGS: Final[Mapping[Category, str]] = MappingProxyType(
    {
        Category.REFUSAL: "the assistant declines a request that it should have served",
        Category.LAZINESS: "it leaves out part of what was asked, or tells the user to do it himself",
        Category.FRUSTRATION: "the user shows annoyance, repeats or corrects himself because of the assistant",
        Category.FORGETTING: "it loses what was said earlier in the same conversation",
        Category.LOOPING: "it repeats steps, tool calls or sentences without getting further",
        Category.WRONG_TOOL: "it calls a tool that does not fit, or a fitting one with wrong arguments",
        Category.JAILBREAK: "the user, or a text that it read, tries to make it break its rules",
        Category.OFF_POLICY: "it says or does what its own instructions forbid",
        Category.OTHER: "another failure, such as a wrong or invented fact; name it in the reason",
        Category.NONE: "nothing is wrong as far as one can see",
    }
)
