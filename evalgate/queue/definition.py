"""What a queue is. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from evalgate.errors import BadInput
from evalgate.select.where import parse_where
from evalgate.signals.weights import Weights
from schema.fields import did_you_mean
from schema.person import person_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAX_REVIEWERS: Final = 20
MAX_SIZE: Final = 10_000
RESERVE_S: Final = (30, 86_400)
"""Bounds of how long an item is kept for who took it."""
MAX_TEXT_CHARS: Final = 10_000
ARROW: Final = "->"


@dataclass(frozen=True, slots=True)
class AssignRule:
    """Traces that a reviewer sees first."""

    where: tuple[str, ...]
    """Conditions as `--where` takes them; all must hold."""
    reviewer: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it is defined; what is empty does not narrow it."""

    name: str
    where: tuple[str, ...] = ()
    """Conditions on the trace, all must hold."""
    signals: tuple[str, ...] = ()
    """At least one of them has strength."""
    issues: tuple[int, ...] = ()
    """Traces like those that people labelled with one of these: in one cluster with one, or failing in the same way."""
    clusters: tuple[int, ...] = ()
    """Traces that the latest run of clusters put into one of these."""
    text: str = ""
    """Words that all stand in one text that a span was given or gave."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Points of signals in the place of those of evals/queue.yaml."""
    reviewers: int = 1
    """How many people label each trace, none knowing what the others said."""
    adjudicators: tuple[str, ...] = ()
    """Who decides where reviewers differ; empty: whoever has not labelled the trace."""
    random_share: float = 0.1
    """Part of the items that is drawn at random out of all that the filters admit."""
    size: int = 100
    """Items that wait for review, at most."""
    reserve_s: int = 900
    """How long an item is kept for who took it."""
    rules: tuple[AssignRule, ...] = ()
    """The first that fits says who looks first."""
    instructions: str = ""
    is_open: bool = True
    """A closed queue gives nothing out and is not filled."""
    version: int = 0
    """Of the definition in the database, from 1 on; 0: it is not there."""


def check(queue: Queue) -> Queue:
    """Return the queue.

    Raises:
        BadInput: something in it cannot be; the words name the option.

    """
    if not NAME.fullmatch(queue.name):
        raise BadInput(f"{queue.name[:80]!r} is no name of a queue: a-z, 0-9 and -, 63 characters at most")
    parse_where(queue.where)
    for rule in queue.rules:
        parse_where(rule.where)
        check_person(rule.reviewer, "--assign")
    for name in queue.adjudicators:
        check_person(name, "--adjudicator")
    for name in (*queue.signals, *queue.weights):
        if name not in Weights.model_fields:
            raise BadInput(f"there is no signal {name!r}.{did_you_mean(name, Weights.model_fields)}")
    for name, points in queue.weights.items():
        if not 0 <= points <= 1000:
            raise BadInput(f"--weight {name}: points are 0 to 1000, not {points:g}")
    bounds = (
        ("--reviewers", queue.reviewers, 1, MAX_REVIEWERS),
        ("--random", queue.random_share, 0, 1),
        ("--size", queue.size, 1, MAX_SIZE),
        ("--reserve", queue.reserve_s, *RESERVE_S),
    )
    for option, value, low, high in bounds:
        if not low <= value <= high:
            raise BadInput(f"{option} is {low} to {high}, not {value}")
    for option, text in (("--instructions", queue.instructions), ("--text", queue.text)):
        if len(text) > MAX_TEXT_CHARS:
            raise BadInput(f"{option} has {len(text)} characters; the limit is {MAX_TEXT_CHARS}")
    if any(number < 1 for number in (*queue.issues, *queue.clusters)):
        raise BadInput("issues and clusters are numbered from 1 on")
    return queue


def parse_rule(text: str) -> AssignRule:
    """Read "feature = refunds -> alice"; several conditions are joined by " and ".

    Raises:
        BadInput: it is none.

    """
    conditions, arrow, reviewer = text.rpartition(ARROW)
    where = tuple(c.strip() for c in re.split(r"\sand\s", conditions) if c.strip())
    if not arrow or not reviewer.strip() or not where:
        raise BadInput(f"--assign {text!r} is no rule; write for example: --assign 'feature = refunds -> alice'")
    parse_where(where)
    return AssignRule(where, reviewer.strip())


def rule_words(rule: AssignRule) -> str:
    """Return a rule as `parse_rule` reads it."""
    return f"{' and '.join(rule.where)} {ARROW} {rule.reviewer}"


def parse_weights(given: Iterable[str]) -> dict[str, float]:
    """Read "asked_again=50".

    Raises:
        BadInput: it is no name and number.

    """
    found = {}
    for text in given:
        name, _, points = text.partition("=")
        try:
            found[name.strip()] = float(points)
        except ValueError:
            raise BadInput(f"--weight {text!r} is no weight; write for example: --weight asked_again=50") from None
    return found


def weights_of(queue: Queue, weights: Weights) -> Weights:
    """Return the points of the file, with those of the queue in their place."""
    return weights.model_copy(update=dict(queue.weights))


def to_body(queue: Queue) -> str:
    """Return the definition as the database keeps it; name and version have columns of their own."""
    body = asdict(queue)
    for column in ("name", "version"):
        body.pop(column)
    return json.dumps(body, ensure_ascii=False, sort_keys=True)


def from_body(name: str, version: int, body: str) -> Queue:
    """Return the queue of a row."""
    found: dict[str, Any] = json.loads(body)
    rules = tuple(AssignRule(tuple(r["where"]), r["reviewer"]) for r in found.pop("rules"))
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    return Queue(name=name, version=version, rules=rules, **values)


def check_person(name: str, option: str) -> None:
    """Let a name stand for a reviewer.

    Raises:
        BadInput: nobody can be called so.

    """
    why = ""
    try:
        is_name = bool(name) and person_of(name) == name
    except ValueError as e:
        is_name, why = False, f": {e}"
    if not is_name:
        raise BadInput(f"{option}: {name[:80]!r} is no name of a reviewer{why}")
