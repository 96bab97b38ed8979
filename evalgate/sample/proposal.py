"""The policy that is to be tried: a file, the one in force, or either with a rule or a rate of the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from evalgate.errors import BadInput
from schema.policy import Policy, read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be tried, before the database was asked."""

    name: str
    """In a few words, for people."""
    base: Policy | None
    """None: the one in force."""
    rules: tuple[tuple[str, str], ...] = ()
    """Further rules of what fails: name, condition."""
    rate: float | None = None

    def on(self, in_force: Policy) -> Policy:
        """Return the policy; raises BadInput where a rule or the rate does not go with it."""
        base = self.base or in_force
        failure = base.failure.model_dump()
        sample = base.sample.model_dump()
        failure["rules"] = [*failure["rules"], *({"name": name, "when": when} for name, when in self.rules)]
        if self.rate is not None:
            sample["baseline_rate"] = self.rate
        try:
            return Policy.model_validate({"failure": failure, "sample": sample})
        except ValidationError as e:
            raise BadInput("; ".join(self._told(d) for d in e.errors())) from None

    def _told(self, problem: Any) -> str:
        """Return a mistake with the option that it is of; those of files were told with their lines before."""
        at = problem["loc"]
        of_file = len((self.base or Policy()).failure.rules)
        named = f" {self.rules[at[2] - of_file][0]}" if len(at) > 2 and at[2] >= of_file else ""
        return f"--rule{named}: {problem['msg'].removeprefix('Value error, ')}"


def read(file: Path | None, rules: Sequence[str], rate: float | None) -> Proposal:
    """Read what is asked for; everything that can be wrong with it is told before anything else is done.

    Raises:
        BadInput: nothing is asked for, or a rule or the rate is none.
        ConfigError: the file has mistakes; all of them are told, with their lines.

    """
    if file is None and not rules and rate is None:
        raise BadInput("say what to try: --policy FILE, --rule 'NAME: CONDITION' or --rate 0.2")
    if rate is not None and not 0 <= rate <= 1:
        raise BadInput(f"--rate is the part of all traces that is sampled, between 0 and 1, not {rate:g}")
    parsed = tuple(_rule(text) for text in rules)
    base = None if file is None else read_policy(file)
    words = [] if file is None else [str(file)]
    words += [f"rule {name}" for name, _ in parsed]
    words += [] if rate is None else [f"rate {rate:g}"]
    name = " + ".join(words)
    found = Proposal(name, base, parsed, rate)
    found.on(base or Policy())  # what the rules say is wrong whatever is in force
    return found


def in_force(body: str) -> Policy:
    """Return the policy that a collector wrote into the database.

    Raises:
        BadInput: a newer version wrote it.

    """
    try:
        return Policy.model_validate(json.loads(body))
    except ValueError:
        raise BadInput(
            "the policy in force was written by a newer version of the collector: give the whole policy, --policy FILE"
        ) from None


def _rule(text: str) -> tuple[str, str]:
    name, colon, when = text.partition(":")
    if not colon or not when.strip():
        raise BadInput(f"--rule {text!r} is no rule; write --rule 'slow_answer: duration_ms > 30000'")
    return name.strip(), when.strip()
