"""Checks of what a target did: its tool calls, why it stopped, what it cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.checks.data import same_json
from evalgate.evaluators.checks.text import find

if TYPE_CHECKING:
    from collections.abc import Callable

    Search = Callable[..., tuple[int, int] | None]

MAX_SHOWN_CALLS = 12


def shown(value: Any) -> str:
    """Return arguments as JSON."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def call_text(name: Any, arguments: Any = None, patterns: Any = None) -> str:
    """Return a call as people write it."""
    inner = [shown(arguments)] if arguments else []
    inner += [f"{key} like /{pattern}/" for key, pattern in (patterns or {}).items()]
    return f"{name}({', '.join(inner)})" if inner else str(name)


def names_text(calls: Any) -> str:
    """Return the names of calls, in order."""
    names = [str(c.get("name")) for c in calls[:MAX_SHOWN_CALLS]]
    more = len(calls) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "") if names else "no tool"


def fits_call(call: Any, name: str, arguments: Any, patterns: Any, search: Search = find) -> bool:
    """Return whether a call is of this tool and holds at least these arguments."""
    if call.get("name") != name:
        return False
    given = call.get("arguments")
    if not arguments and not patterns:
        return True
    if not isinstance(given, dict):
        return False
    if not all(key in given and same_json(given[key], value) for key, value in arguments.items()):
        return False
    for key, pattern in patterns.items():
        if key not in given:
            return False
        text = given[key] if isinstance(given[key], str) else shown(given[key])
        if search(pattern, text, ignore_case=False) is None:
            return False
    return True


def tool_called(
    calls: Any, name: str, arguments: Any, patterns: Any, *, negated: bool = False, search: Search = find
) -> tuple[bool, str]:
    """Say whether some call fits; with `negated`, whether none does."""
    wanted = call_text(name, arguments, patterns)
    fitting = sum(fits_call(c, name, arguments, patterns, search) for c in calls)
    if negated:
        return not fitting, f"{wanted} was called {fitting} times" if fitting else f"{wanted} was not called"
    if fitting:
        return True, f"{wanted} was called"
    same = [c for c in calls if c.get("name") == name]
    if same:
        return False, f"{name} was called with {shown(same[0].get('arguments'))}, not {wanted}"
    return False, f"{wanted} was not called; the target called {names_text(calls)}"


def in_order(made: Any, wanted: Any, fits: Callable[[Any, Any], bool]) -> Any:
    """Return the first wanted call that is not found after those before it, None if all are."""
    left = iter(made)
    for want in wanted:
        if not any(fits(call, want) for call in left):
            return want
    return None


def matched(made: Any, wanted: Any, fits: Callable[[Any, Any], bool]) -> dict[int, int]:
    """Return the largest assignment of wanted calls to calls that were made, as indexes: made to wanted.

    Greedy would take a call for a want that another call could have met (Kuhn's augmenting paths).
    """
    taken: dict[int, int] = {}

    def assign(want: int, seen: set[int]) -> bool:
        for at, call in enumerate(made):
            if at not in seen and fits(call, wanted[want]):
                seen.add(at)
                if at not in taken or assign(taken[at], seen):
                    taken[at] = want
                    return True
        return False

    for number in range(len(wanted)):
        assign(number, set())
    return taken


def tool_trajectory(
    calls: Any, wanted: Any, match: str, *, compare_arguments: bool | None = None, search: Search = find
) -> tuple[bool, str]:
    """Say whether the calls are the wanted ones.

    `compare_arguments` is None for wanted calls of a rule, which name what counts; else `wanted` are calls of the case.
    """
    if wanted is None:
        raise ValueError("the case has no tool calls to compare with")
    if max(len(calls), len(wanted)) > 300:
        raise ValueError(f"{max(len(calls), len(wanted))} tool calls are too many to compare; the limit is 300")

    def fits(call: Any, want: Any) -> bool:
        if compare_arguments is None:
            return fits_call(call, want["name"], want.get("arguments", {}), want.get("argument_patterns", {}), search)
        same_name = call.get("name") == want.get("name")
        return same_name and (not compare_arguments or same_json(call.get("arguments"), want.get("arguments")))

    def text(want: Any) -> str:
        said = None if compare_arguments is False else want.get("arguments")
        return call_text(want.get("name"), said, want.get("argument_patterns"))

    made = f"the target called {names_text(calls)}"
    if match == "exact":
        for number, (call, want) in enumerate(zip(calls, wanted, strict=False), 1):
            if not fits(call, want):
                return False, f"call {number} is {call_text(call.get('name'), call.get('arguments'))}, not {text(want)}"
        if len(calls) != len(wanted):
            return False, f"{len(calls)} tool calls where {len(wanted)} are wanted ({names_text(wanted)}); {made}"
    elif match == "in_order":
        missing = in_order(calls, wanted, fits)
        if missing is not None:
            return False, f"{text(missing)} was not called in its order ({names_text(wanted)}); {made}"
    elif match == "any_order":
        met = set(matched(calls, wanted, fits).values())
        if len(met) < len(wanted):
            missing = next(want for number, want in enumerate(wanted) if number not in met)
            return False, f"{text(missing)} was not called; {made}"
    elif match == "subset":
        for call in calls:
            if not any(fits(call, want) for want in wanted):
                return False, f"{call_text(call.get('name'), call.get('arguments'))} is not one of {names_text(wanted)}"
    else:
        raise ValueError(f"{match!r} is not a way to compare calls")
    return True, f"{made}, as wanted"


def max_tool_calls(calls: Any, limit: int, *, name: str | None = None, identical: bool = False) -> tuple[bool, str]:
    """Say whether there are no more calls than the limit."""
    made = [c for c in calls if name is None or c.get("name") == name]
    if not identical:
        what = f"calls of {name}" if name else "tool calls"
        return len(made) <= limit, f"{len(made)} {what}; the limit is {limit}"
    counts: dict[str, int] = {}
    most, of = 0, "any tool"
    for call in made:
        key = shown([call.get("name"), call.get("arguments")])
        counts[key] = counts.get(key, 0) + 1
        if counts[key] > most:
            most, of = counts[key], str(call.get("name"))
    return most <= limit, f"{most} identical calls of {of}; the limit is {limit}"


def max_steps(calls: Any, reference: Any, times: float) -> tuple[bool, str]:
    """Say whether there are no more steps, tool calls and the answer, than `times` those of the reference."""
    if reference is None:
        raise ValueError("the case has no tool calls to compare with")
    steps, limit = len(calls) + 1, times * (len(reference) + 1)
    return steps <= limit, f"{steps} steps; the limit is {limit:g}, {times:g} times those of the case"


def finish_reason(reason: str | None, one_of: Any, *, negated: bool = False) -> tuple[bool, str]:
    """Say whether the model stopped for one of these reasons; with `negated`, for none."""
    if reason is None:
        raise ValueError("the target did not say why the model stopped")
    words = " or ".join(one_of)
    if reason in one_of:
        return not negated, f"the model stopped for {reason!r}"
    return negated, f"the model stopped for {reason!r}, not {words}"


def max_output_tokens(tokens: int | None, limit: int) -> tuple[bool, str]:
    """Say whether the model wrote no more tokens."""
    if tokens is None:
        raise ValueError("the target did not say how many tokens the model wrote")
    return tokens <= limit, f"the model wrote {tokens} tokens; the limit is {limit}"


def max_cost_usd(cost_usd: float | None, limit_usd: float) -> tuple[bool, str]:
    """Say whether the output cost no more."""
    if cost_usd is None:
        raise ValueError("the target did not say what the output cost")
    return cost_usd <= limit_usd, f"the output cost {cost_usd:.6g} USD; the limit is {limit_usd:g}"


def all_of(*findings: tuple[bool, str]) -> tuple[bool, str]:
    """Say whether all hold."""
    return next((f for f in findings if not f[0]), (True, "; ".join(reason for _, reason in findings)))


def any_of(*findings: tuple[bool, str]) -> tuple[bool, str]:
    """Say whether at least one holds."""
    return next((f for f in findings if f[0]), (False, "none of: " + "; ".join(reason for _, reason in findings)))
