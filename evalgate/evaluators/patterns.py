"""Regular expressions that cannot hang a run.

`re` holds the interpreter's lock and cannot be interrupted: (a+)+$ on thirty characters takes minutes. A search whose
steps are bounded runs here; any other runs in a child process with a deadline.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.checks.data import SCHEMA_KEYWORDS, SCHEMA_NOTES
from evalgate.evaluators.checks.text import find
from evalgate.evaluators.child import Child, ChildFailed, Patience

if TYPE_CHECKING:
    from collections.abc import Mapping

SEARCH_DEADLINE_S = 2.0
SCHEMA_DEADLINE_S = 10.0
MAX_CHARS_HERE = 200_000
"""Of JSON that is fitted to a schema in this process."""
MAX_STEPS_HERE = 100_000_000
"""A second at the worst (measured on a busy machine, over 4 000 random patterns; most searches end long before)."""
PROGRAM = Path(__file__).with_name("pattern_child.py")

ESCAPED = re.compile(r"\\.", re.DOTALL)
CHARACTERS = re.compile(r"\[\^?\]?[^\]]*\]")
REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
REPEAT = re.compile(r"[*+{]")
CHOICE = re.compile(r"[?|]")
FLAGS_OR_CONDITION = re.compile(r"\(\?[a-zA-Z-]*x|\(\?\(")
COUNTED = re.compile(r"\{(\d*),?(\d*)\}")


def most_steps(pattern: str, chars: int) -> float:
    """Return a bound of the steps that a search can take in a text of so many characters; inf: none is known.

    Read off the text of the pattern, from above: from each place of the text (n), each repeat may stop at each place
    (n), each choice doubles. A group that is repeated may be matched in exponentially many ways.
    """
    if FLAGS_OR_CONDITION.search(pattern):
        return float("inf")
    skeleton = CHARACTERS.sub("c", ESCAPED.sub("e", pattern))
    if REPEATED_GROUP.search(skeleton):
        return float("inf")
    n = chars + 1
    counted = sum(max(int(low or 0), int(high or 0)) for low, high in COUNTED.findall(skeleton))
    try:
        return float(n ** (1 + len(REPEAT.findall(skeleton))) * 2 ** len(CHOICE.findall(skeleton)) * (1 + counted))
    except OverflowError:
        return float("inf")


def _patterns() -> Child:
    return Child([sys.executable, "-P", str(PROGRAM)])


def _schemas() -> Child:
    return Child([sys.executable, "-P", str(PROGRAM), "schemas"])


@dataclass(frozen=True, slots=True)
class PatternSearch:
    """Finds a pattern in a text. Safe from many threads."""

    deadline_s: float = SEARCH_DEADLINE_S
    schema_deadline_s: float = SCHEMA_DEADLINE_S
    patterns: Child = field(default_factory=_patterns)
    schemas: Child = field(default_factory=_schemas)
    patience: dict[str, Patience] = field(default_factory=dict)
    """By pattern or schema."""

    def __call__(self, pattern: str, text: str, *, ignore_case: bool) -> tuple[int, int] | None:
        """Return where the pattern is first found, None if it is not.

        Raises:
            ValueError: it took too long.

        """
        if most_steps(pattern, len(text)) <= MAX_STEPS_HERE:
            return find(pattern, text, ignore_case=ignore_case)
        question = {"pattern": pattern, "text": text, "ignore_case": ignore_case}
        try:
            span = self._ask(self.patterns, pattern, question, self.deadline_s)["span"]
        except ChildFailed as e:
            raise ValueError(f"the pattern /{pattern}/ on a text of {len(text)} characters: {e}") from None
        return None if span is None else (span[0], span[1])

    def _ask(self, child: Child, about: str, question: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        patience = self.patience.setdefault(about, Patience())
        patience.check()
        try:
            answer = child.ask(question, deadline_s)
        except ChildFailed:
            patience.note(failed=True)
            raise
        patience.note(failed=False)
        return answer

    def close(self) -> None:
        """End the children, if there are any."""
        self.patterns.close()
        self.schemas.close()

    def schema_mistake(self, value: Any, schema: Any, chars: int) -> str | None:
        """Return how a value of so many characters does not fit a JSON Schema, None if it fits.

        Raises:
            ValueError: it took too long, or the schema itself is wrong.

        """
        steps = sum(most_steps(p, chars) for p in patterns_of(schema))
        if steps <= MAX_STEPS_HERE and chars <= MAX_CHARS_HERE and not foreign_keywords(schema):
            from evalgate.evaluators.pattern_child import library_mistake  # noqa: PLC0415 - loads jsonschema, 0.1 s

            return library_mistake(value, schema)
        try:
            question = {"value": value, "schema": schema}
            answer = self._ask(self.schemas, repr(schema), question, self.schema_deadline_s)
        except ChildFailed as e:
            raise ValueError(f"the schema on a text of {chars} characters: {e}") from None
        if wrong := answer.get("error"):
            raise ValueError(str(wrong))
        said: str | None = answer["mistake"]
        return said


def patterns_of(schema: Any) -> list[str]:
    """Return every text of a schema that may be used as a pattern."""
    if isinstance(schema, list):
        return [p for item in schema for p in patterns_of(item)]
    if not isinstance(schema, dict):
        return []
    found = [p for item in schema.values() for p in patterns_of(item)]
    if isinstance(schema.get("pattern"), str):
        found.append(schema["pattern"])
    if isinstance(schema.get("patternProperties"), dict):
        found.extend(schema["patternProperties"])
    return found


def foreign_keywords(schema: Any) -> set[str]:
    """Return the keywords of a schema that are not the common ones: what they cost, and mean, is the library's."""
    return _keywords(schema) - {*SCHEMA_KEYWORDS, *SCHEMA_NOTES}


def _keywords(schema: Any) -> set[str]:
    """Return every keyword of a schema and of those inside it."""
    if not isinstance(schema, dict):
        return set()
    inner = [schema.get(name) for name in ("items", "additionalProperties", "not")]
    inner += [s for name in ("allOf", "anyOf", "oneOf") for s in schema.get(name) or ()]
    inner += list((schema.get("properties") or {}).values())
    return set(schema).union(*map(_keywords, inner))
