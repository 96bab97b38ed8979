"""How an evaluator judges, and which kind of evidence its verdicts are."""

from __future__ import annotations

from enum import StrEnum


class EvalType(StrEnum):
    """How an evaluator judges."""

    RULE = "rule"
    """By something deterministic: a rule, or code."""
    LLM_JUDGE = "llm_judge"
    """By asking a model."""


class Evidence(StrEnum):
    """What kind of evidence a verdict is. A gate shows the kinds apart."""

    OUTCOME = "outcome"
    """Whether the answer is right."""
    BEHAVIOUR = "behaviour"
    """How the target acted: which tools and arguments, refusals, formats."""
    TRAJECTORY = "trajectory"
    """The way there: the order and number of steps, loops, cost."""
    INTEGRITY = "integrity"
    """Whether data and its history are what they say."""
    JUDGE = "judge"
    """The opinion of a model."""


class TrajectoryMatch(StrEnum):
    """How the calls that were made are compared with those that are wanted."""

    EXACT = "exact"
    """The same calls in the same order, and no other."""
    IN_ORDER = "in_order"
    """All that are wanted, in that order; others may stand between."""
    ANY_ORDER = "any_order"
    """All that are wanted, in any order; others may be there."""
    SUBSET = "subset"
    """None but those that are wanted; some may be missing."""


class Reference(StrEnum):
    """What of the case an output is compared with."""

    EXPECTED = "expected"
    """What a person says is right."""
    OBSERVED = "observed"
    """What production did."""


class Likeness(StrEnum):
    """How like two texts are, from 0 to 1."""

    RATIO = "ratio"
    """2 x the longest common subsequence of characters / the characters of both."""
    TOKEN_SET = "token_set"  # noqa: S105 - the name of a measure
    """2 x the words in both / the words of each, each counted once; order does not matter."""
    ROUGE_L = "rouge_l"
    """F1 of the longest common subsequence of words."""
