"""A signal in words: the number, and what it was compared with. Texts of spans are data: whoever prints cleans them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evalgate.figures import percent
from evalgate.signals.cohorts import MIN_COHORT
from evalgate.signals.measure import FEEDBACK, LOW_SCORE
from evalgate.signals.priority import MORE
from evalgate.signals.weights import PATTERN
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evalgate.signals.measure import Signals
    from evalgate.signals.priority import Priority

SHORT_ID = 16
SHOWN_TOOLS = 6


def words_of(signals: Signals, name: str, row: int) -> str:
    """Return what a signal says of a trace; of one that says nothing, its number all the same, if it is known."""
    return WORDS[name](signals, row)


def part_words(signals: Signals, priority: Priority, name: str, row: int) -> str:
    """Return what a part of a priority says: as `words_of`, and why points were taken away."""
    if name != MORE:
        return words_of(signals, name, row)
    first = int(priority.before[row])
    return f"{count_of(first, 'trace')} come{'s' * (first == 1)} first for the same reason"


def cohort_words(signals: Signals, row: int) -> str:
    """Return which traces a trace is compared with, and how many there are."""
    p = signals.population
    names = [str(p.service[row]), str(p.feature[row]), str(p.root[row])]
    n = int(signals.tools_known[row])
    tools = "no tools" if n == 0 else "5 tools or more" if n >= 5 else count_of(n, "tool")
    few = "" if signals.cohort_sizes[row] >= MIN_COHORT else f", fewer than {MIN_COHORT}: wider groups say more"
    size = count_of(int(signals.cohort_sizes[row]), "trace")
    return f"{' · '.join(filter(None, names))} · {tools} ({size}{few})"


def _failure(s: Signals, row: int) -> str:
    reasons = [r for r in s.population.reasons.of(row) if not r.startswith(FEEDBACK)]
    if reasons and 0 < s.columns["failure"].strength[row] < 1:
        return f"{', '.join(reasons)}, made up for by another call"
    if reasons:
        return ", ".join(reasons)
    said = "nothing but feedback says so" if s.population.failing[row] else "nothing failed"
    return "failing" if s.columns["failure"].strength[row] else said


def _low_score(s: Signals, row: int) -> str:
    j = s.population.judged
    said = []
    for i in (j.row == row).nonzero()[0]:
        number = "" if math.isnan(j.lowest[i]) else f" {j.lowest[i]:.3g}"
        said.append(f"{j.name[i]}{number} ({_verdict(s, i)})")
    return ", ".join(said) or "nobody judged it"


def _verdict(s: Signals, judgement: int) -> str:
    j, above = s.population.judged, s.scores_above[judgement]
    if j.negative[judgement]:
        return "negative"
    if j.positive[judgement]:
        return "positive"
    if above < LOW_SCORE:
        return f"lower than {percent(1 - above)} of {j.name[judgement]}"
    return "no verdict"


def _judges_differ(s: Signals, row: int) -> str:
    j = s.population.judged
    said = []
    by_mode: dict[str, list[str]] = {}
    for i in (j.row == row).nonzero()[0]:
        name = str(j.name[i])
        if j.negative[i] and j.positive[i]:
            said.append(f"{name}: {j.negative[i]} negative, {j.positive[i]} positive")
        elif j.highest[i] > j.lowest[i]:
            said.append(f"{name}: {j.lowest[i]:.3g} to {j.highest[i]:.3g}")
        if mode := s.looks_for.get(name):
            verdict = "negative" if j.negative[i] else "positive" if j.positive[i] else f"{j.lowest[i]:.3g}"
            by_mode.setdefault(mode, []).append(f"{name} {verdict}")
    if s.columns["judges_differ"].strength[row]:
        said += [f"of {mode}: {', '.join(verdicts)}" for mode, verdicts in by_mode.items() if len(verdicts) > 1]
    return ", ".join(said) or "no two judged the same"


def _asked_again(s: Signals, row: int) -> str:
    p, later = s.population, int(s.asked_again[row])
    if later >= 0:
        after_s = (p.start_ns[later] - p.start_ns[row]) / 1e9
        how = _likeness(float(p.likeness[later]))
        return f"asked again {_time(after_s)} later, {how}: {p.trace[later][:SHORT_ID]}"
    if s.columns["asked_again"].strength[row] > 0:
        return f"repeats an earlier request, {_likeness(float(p.likeness[row]))}: {p.trace[p.like[row]][:SHORT_ID]}"
    return "not asked again"


def _likeness(likeness: float) -> str:
    return "in the same words" if likeness == 1 else f"{percent(likeness)} alike"


def _refusal(s: Signals, row: int) -> str:
    said = s.population.refusal_words.of(row)
    return "says " + ", ".join(f'"{w}"' for w in said) + _common(s, "refusal", row) if said else "no words of refusal"


def _hedging(s: Signals, row: int) -> str:
    p = s.population
    if math.isnan(p.answer_words[row]):
        return "no answer was recorded"
    if not p.hedges[row]:
        return f"no words of doubt in {count_of(int(p.answer_words[row]), 'word')}"
    said = ", ".join(f'"{w}"' for w in p.hedge_words.of(row))
    rate = s.columns["hedging"].value[row]
    times = count_of(int(p.hedges[row]), "phrase")
    return f"{times} of doubt, {rate:.2g} per 100 words: {said}{_common(s, 'hedging', row)}"


def _tool_loop(s: Signals, row: int) -> str:
    times = int(s.population.same_calls[row])
    if times < 2:
        return "no call was made twice"
    return f"{s.population.same_tool[row]} called {times} times with the same arguments{_common(s, 'tool_loop', row)}"


def _odd_tools(s: Signals, row: int) -> str:
    steps, names = s.steps, s.population.tools.names
    usual = s.columns["odd_tools"].compared[row]
    called = " → ".join(s.population.tools.of(row)[:SHOWN_TOOLS]) or "no tools"
    if math.isnan(usual):
        return f"{called}; {_too_few()}"
    if not s.columns["odd_tools"].strength[row]:
        return f"{called}; not unusual"
    before, after = int(steps.before[row]), int(steps.after[row])
    step = f"{'the beginning' if before < 0 else names[before]} → {'the end' if after < 0 else names[after]}"
    times = math.exp(min(float(steps.step_nats[row]), 20))
    return (
        f"{steps.nats_per_step[row]:.2g} nats a step, {usual:.2g} is usual; "
        f"least expected: {step} (about 1 in {max(1, round(times))})"
    )


def _fast_and_short(s: Signals, row: int) -> str:
    p, above = s.population, s.columns["fast_and_short"].compared[row]
    if math.isnan(p.answer_words[row]):
        return "no answer was recorded"
    said = f"{count_of(int(p.answer_words[row]), 'word')} in {_time(p.took_ms[row] / 1e3)}"
    if math.isnan(above):
        return f"{said}; nothing to compare it with"
    if not s.columns["fast_and_short"].strength[row]:
        return said
    return f"{said}; {percent(1 - above)} of the others are longer, and as many slower, at least"


def _long_session(s: Signals, row: int) -> str:
    said = f"turn {s.turn[row]} of {s.turns[row]}"
    above = s.columns["long_session"].compared[row]
    return said if math.isnan(above) or not above else f"{said}; longer than {percent(above)} of the sessions"


def _tokens(s: Signals, row: int) -> str:
    column = s.columns["tokens"]
    if math.isnan(column.value[row]):
        return "not known"
    said = f"{int(column.value[row])} tokens"
    above = column.compared[row]
    return f"{said}; {_too_few()}" if math.isnan(above) else f"{said}, more than {percent(above)} of its cohort"


def _duration(s: Signals, row: int) -> str:
    return _beside(s, "duration", row, lambda ms: _time(ms / 1e3))


def _first_chunk(s: Signals, row: int) -> str:
    return _beside(s, "first_chunk", row, _time)


def _cost(s: Signals, row: int) -> str:
    return _beside(s, "cost", row, lambda usd: f"${usd:.3g}")


def _broken(s: Signals, row: int) -> str:
    defects = s.population.defects.of(row)
    return ", ".join(defects) + _common(s, "broken", row) if defects else "the record is whole"


def _model_flag(s: Signals, row: int) -> str:
    f = s.population.flagged
    for i in (f.row == row).nonzero()[0]:
        return f"a model says {f.category[i]}, {percent(float(f.confidence[i]))} sure: {f.reason[i]}"
    return "no model said anything of it"


def _pattern(s: Signals, row: int) -> str:
    n = int(s.pattern_size[row])
    return f"{count_of(n, 'trace')} of {s.population.root[row]} failed in the same way" if n else "nothing failed"


def _beside(s: Signals, name: str, row: int, write: Callable[[float], str]) -> str:
    value, usual = float(s.columns[name].value[row]), float(s.columns[name].compared[row])
    if math.isnan(value):
        return "not known"
    if math.isnan(usual):
        return f"{write(value)}; {_too_few()}"
    return f"{write(value)}, {write(usual)} is usual"


def _common(s: Signals, name: str, row: int) -> str:
    share = s.columns[name].compared[row]
    return f"; so has {percent(share)} of the workflow" if share >= 0.1 else ""


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _too_few() -> str:
    return f"fewer than {MIN_COHORT} traces to compare with"


WORDS: Mapping[str, Callable[[Signals, int], str]] = {
    "failure": _failure,
    "low_score": _low_score,
    "judges_differ": _judges_differ,
    "asked_again": _asked_again,
    "refusal": _refusal,
    "hedging": _hedging,
    "tool_loop": _tool_loop,
    "odd_tools": _odd_tools,
    "fast_and_short": _fast_and_short,
    "long_session": _long_session,
    "tokens": _tokens,
    "duration": _duration,
    "first_chunk": _first_chunk,
    "cost": _cost,
    "broken": _broken,
    "model_flag": _model_flag,
    PATTERN: _pattern,
}
