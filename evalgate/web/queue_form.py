"""The definition of a queue as the fields of a form, and back. Pure.

A field that was not sent leaves what it is about as it was, so that a form may have a few of them only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from evalgate.errors import BadInput
from evalgate.queue.definition import check, parse_rule, parse_weights, rule_words
from evalgate.signals.weights import PATTERN, Weights
from evalgate.web import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.datastructures import FormData

    from evalgate.queue.definition import Queue

MAX_LINES: Final = 20
MAX_DIGITS: Final = 9
WEIGHT: Final = "weight-"
"""What the names of the fields of points begin with."""
SIGNALS: Final = tuple(name for name in Weights.model_fields if name != PATTERN)
TEXTS: Final = (
    "name", "where", "text", "issues", "clusters", "random", "reviewers", "size", "reserve", "adjudicators", "rules",
    "instructions",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QueueForm:
    """What stands in the fields."""

    texts: Mapping[str, str]
    """By the names in TEXTS."""
    signals: frozenset[str]
    weights: Mapping[str, str]
    """Points by signal, where the queue has some of its own."""
    version: int
    """Of the definition that the visitor saw; 0 of a new one."""


def form_of(queue: Queue) -> QueueForm:
    """Return a definition as it stands in the form."""
    return QueueForm(
        texts={
            "name": queue.name,
            "where": "\n".join(queue.where),
            "text": queue.text,
            "issues": ", ".join(map(str, queue.issues)),
            "clusters": ", ".join(map(str, queue.clusters)),
            "random": f"{queue.random_share * 100:g}",
            "reviewers": str(queue.reviewers),
            "size": str(queue.size),
            "reserve": f"{queue.reserve_s / 60:g}",
            "adjudicators": "\n".join(queue.adjudicators),
            "rules": "\n".join(map(rule_words, queue.rules)),
            "instructions": queue.instructions,
        },
        signals=frozenset(queue.signals),
        weights={name: f"{points:g}" for name, points in queue.weights.items()},
        version=queue.version,
    )


def form_sent(form: FormData, known: Queue) -> QueueForm:
    """Return what was typed, as it was typed, over what is known."""
    had = form_of(known)
    weights = {name: forms.text(form, f"{WEIGHT}{name}") for name in Weights.model_fields if f"{WEIGHT}{name}" in form}
    return QueueForm(
        texts={name: str(form.get(name, had.texts[name])) for name in TEXTS},
        signals=frozenset(_signals(form, known)),
        weights={name: said for name, said in {**had.weights, **weights}.items() if said},
        version=known.version,
    )


def read_queue(form: FormData, known: Queue) -> Queue:
    """Return the queue with what was sent.

    Raises:
        BadInput: something in it cannot be.

    """
    said: dict[str, Any] = {"signals": _signals(form, known), "weights": _weights(form, known)}
    for name, read in _READ.items():
        if name in form:
            field, value = read(form)
            said[field] = value
    return check(replace(known, **said))


def _signals(form: FormData, known: Queue) -> tuple[str, ...]:
    """Return the signals that are ticked. An empty one says that the form has them: of none ticked nothing is sent."""
    if "signals" not in form:
        return known.signals
    return tuple(dict.fromkeys(s for s in map(str, form.getlist("signals")) if s))


def _weights(form: FormData, known: Queue) -> Mapping[str, float]:
    """Return the points of the queue; an empty field is that of the file."""
    kept = {name: points for name, points in known.weights.items() if f"{WEIGHT}{name}" not in form}
    sent = {name[len(WEIGHT) :]: forms.text(form, name) for name in form if name.startswith(WEIGHT)}
    return {**kept, **parse_weights(f"{name}={points}" for name, points in sent.items() if points)}


def _few(form: FormData, name: str, words: str) -> tuple[str, ...]:
    found = forms.lines(form, name)
    if len(found) > MAX_LINES:
        raise BadInput(f"a queue has at most {MAX_LINES} {words}, one on a line")
    return found


def _numbers(form: FormData, name: str) -> tuple[int, ...]:
    found = [word for word in re.split(r"[\s,#]+", forms.text(form, name)) if word]
    for word in found:
        if not (word.isascii() and word.isdigit() and len(word) <= MAX_DIGITS):
            raise BadInput(f"{name} have numbers, not {word[:20]!r}; several are separated by commas")
    return tuple(dict.fromkeys(map(int, found)))


_READ: Final[Mapping[str, Callable[[FormData], tuple[str, Any]]]] = {
    "name": lambda form: ("name", forms.text(form, "name")),
    "where": lambda form: ("where", _few(form, "where", "conditions")),
    "text": lambda form: ("text", forms.text(form, "text")),
    "issues": lambda form: ("issues", _numbers(form, "issues")),
    "clusters": lambda form: ("clusters", _numbers(form, "clusters")),
    "random": lambda form: ("random_share", forms.decimal(form, "random", "the part drawn at random") / 100),
    "reviewers": lambda form: ("reviewers", forms.whole(form, "reviewers", "how many reviewers there are")),
    "size": lambda form: ("size", forms.whole(form, "size", "how many wait")),
    "reserve": lambda form: ("reserve_s", round(forms.decimal(form, "reserve", "how long an item is kept") * 60)),
    "adjudicators": lambda form: ("adjudicators", _few(form, "adjudicators", "people who decide")),
    "rules": lambda form: ("rules", tuple(parse_rule(r) for r in _few(form, "rules", "rules"))),
    "instructions": lambda form: ("instructions", forms.text(form, "instructions")),
}
"""Field of the form to the attribute of a queue and its value."""
