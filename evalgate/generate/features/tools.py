"""What tools were called: which, with which arguments, in which order, how often, how often the same."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from evalgate.generate.features.atom import Atom, both, cuts
from evalgate.terminal import one_line
from schema.evaluator import MaxToolCalls, ToolCalled, ToolPattern, ToolTrajectory, TrajectoryMatch
from schema.hashing import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from evalgate.generate.examples import Example

Calls = tuple["Mapping[str, Any]", ...]
MAX_ARGUMENT_CHARS = 200
MAX_TOOLS = 40
"""Names that are tried in pairs."""


def atoms(examples: Sequence[Example], support: int, dropped: dict[str, int]) -> Iterator[Atom]:  # noqa: ARG001 - the seam
    """Yield required and forbidden calls, arguments, orders and numbers of calls."""
    called = [e.output.tool_calls for e in examples]
    if not any(called):
        return
    names = Counter(str(c["name"]) for calls in called for c in calls if c.get("name"))
    for name in sorted(names):
        fires = np.array([any(c.get("name") == name for c in calls) for calls in called], dtype=bool)
        yield from both(
            Atom(ToolCalled(name, {}, negated=True), 1.0, "tools", fires, f"calls {name}"),
            ToolCalled(name, {}),
            f"does not call {name}",
        )
        yield from _arguments(name, called, support)
        yield from _counts(name, [sum(c.get("name") == name for c in calls) for calls in called])
    yield from _counts(None, [len(calls) for calls in called])
    same = [max(Counter(_key(c) for c in calls).values(), default=0) for calls in called]
    for limit in cuts([float(n) for n in same]):
        if limit >= 1:
            fires = np.array(same) > limit
            words = f"makes the same call more than {limit} times" if limit > 1 else "repeats a call"
            yield Atom(MaxToolCalls(limit, identical=True), 1.0, "tools", fires, words)
    yield from _orders(called, [n for n, _ in names.most_common(MAX_TOOLS)], support)


def _arguments(name: str, called: Sequence[Calls], support: int) -> Iterator[Atom]:
    """Yield arguments with one value, and arguments that are there at all."""
    values: dict[tuple[str, str], set[int]] = {}
    for place, calls in enumerate(called):
        for call in calls:
            arguments = call.get("arguments")
            if call.get("name") != name or not isinstance(arguments, dict):
                continue
            for key, value in arguments.items():
                if isinstance(value, (str, int, float, bool)) and len(str(value)) <= MAX_ARGUMENT_CHARS:
                    values.setdefault((key, json.dumps(value, sort_keys=True)), set()).add(place)
    for (key, spelled), where in sorted(values.items()):
        if len(where) < support:
            continue
        wanted = {key: json.loads(spelled)}
        fires = np.zeros(len(called), dtype=bool)
        fires[list(where)] = True
        shown = f"{name}({one_line(f'{key}={spelled}', 60)})"
        yield from both(
            Atom(ToolCalled(name, wanted, negated=True), 1.15, "tools", fires, f"calls {shown}"),
            ToolCalled(name, wanted),
            f"does not call {shown}",
        )


def _counts(name: str | None, counts: Sequence[int]) -> Iterator[Atom]:
    numbers = np.array(counts)
    for limit in cuts([float(n) for n in counts], most=6):
        if name is not None and limit == 0:
            continue  # that is: not called
        words = f"more than {limit} calls{f' of {name}' if name else ''}"
        yield Atom(MaxToolCalls(limit, name), 1.2, "tools", numbers > limit, words)


def _orders(called: Sequence[Calls], names: Sequence[str], support: int) -> Iterator[Atom]:
    """Yield pairs of tools that must be called one after the other, where both orders or one of two calls occur."""
    sequences = [[str(c.get("name")) for c in calls] for calls in called]
    for first in names:
        for then in names:
            follows = np.array([_in_order(s, first, then) for s in sequences], dtype=bool)
            if first == then or int(follows.sum()) < support:
                continue
            rule = ToolTrajectory(TrajectoryMatch.IN_ORDER, (ToolPattern(first), ToolPattern(then)))
            yield Atom(rule, 1.2, "tools", _negated(follows), f"does not call {first} and then {then}")


def _in_order(sequence: Sequence[str], first: str, then: str) -> bool:
    return first in sequence and then in sequence[sequence.index(first) + 1 :]


def _negated(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.logical_not(flags)


def _key(call: Mapping[str, Any]) -> bytes:
    try:
        return canonical_json([call.get("name"), call.get("arguments")])
    except (TypeError, ValueError):
        return repr(call).encode()
