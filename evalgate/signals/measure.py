"""The signals of traces, column by column: a value, how strong it is from 0 to 1, and what it was compared with. Pure.

A signal that is a fact about one trace (a tool loop, words of doubt, a defect of the record) weighs less the more of
the same workflow has it: its strength is multiplied by the share that has it not. So a tool that is polled, or an
assistant that always hedges, does not fill the queue. Failures are not: what fails often is looked at first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evalgate.places import EVALUATORS
from evalgate.signals.cohorts import (
    CERTAIN_Z,
    MIN_COHORT,
    UNUSUAL_Z,
    codes,
    percentiles,
    ramp,
    robust_z,
    shares,
    sizes,
)
from evalgate.signals.judges import modes_looked_for
from evalgate.signals.population import LEAST_CHARS, Window, nobody, read_population, recent_window
from evalgate.signals.sequences import Surprise, surprise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from evalgate.database import TenantDatabase
    from evalgate.select.where import Where
    from evalgate.signals.population import Population
    from evalgate.terminal import Step

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

FEEDBACK: Final = "feedback:"
"""Reasons of failing that begin so were said by somebody: they are the signal `low_score`."""
TOOL_ERROR: Final = "tool_error"
RECOVERED: Final = 0.25
"""Strength of errors of tools that were made up for by another call of the same tool."""
HIGH: Final = 0.95
"""A percentile from which on a value is high; its strength rises from here to 1 at the top."""
APART_Z: Final = 2.0
"""Robust deviations above the median that a high percentile must have, too; the rest of the way is to UNUSUAL_Z."""
LOW_SCORE: Final = 0.1
"""The lowest tenth of an evaluation's scores counts, though the evaluation itself did not fail it."""
DIFFERENT: Final = 0.3
"""Two scores of one name differ from here on; from twice that on, wholly."""
LIKE: Final = 0.75
"""Likeness of two requests by 4-grams of characters from which on they are near; from SAME on they are one."""
SAME: Final = 0.95
LOOP_CALLS: Final = 3
"""Equal calls that are a loop; the rule of Latitude's flaggers (trashing), too."""
LOOP_CERTAIN_CALLS: Final = 5
HEDGES_PER_100_WORDS: Final = 5.0
"""Full strength, of two phrases and more; one alone has half of it at most."""
QUICK: Final = 0.05
"""Below this percentile of both, an answer is fast and short: Phoenix's fast tail (p5)."""
ASKED_CHARS: Final = 40
"""From here on a request is more than a greeting."""
LONG_TURNS: Final = 3
"""Turns that a long session has at least."""
LEAST_LOG_SIGMA: Final = 0.1
"""Of durations and costs: 10 % more is no outlier."""
LEAST_NATS: Final = 0.25
"""Of surprise at a sequence of tools."""
DOUBTED: Final = 0.4
"""Confidence of a model up to which what it says is nothing; its strength rises from here to BELIEVED."""
BELIEVED: Final = 0.9
JAILBREAK: Final = "jailbreak"
"""A refusal of what tries to break the rules is right: what a model calls so, explains the signal `refusal`."""
ALREADY_SAID: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "refusal": ("refusal",),
        "looping": ("tool_loop",),
        "laziness": ("fast_and_short", "tool_loop"),
        "frustration": ("asked_again",),
        "forgetting": ("asked_again",),
    }
)
"""What a model may say of a trace, to the signals that say or explain the same: it adds what they leave open."""
NOBODY_LOOKS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Column:
    """One signal of all traces."""

    value: Floats
    """In the signal's own unit; NaN: unknown."""
    strength: Floats
    """0 to 1; 0 where nothing is to be said."""
    compared: Floats
    """What the value was judged by: a percentile, a typical value, a share; NaN: nothing."""


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of a population."""

    population: Population
    columns: Mapping[str, Column]
    """By name, in the order of `NAMES`."""
    cohort_sizes: Floats
    """How many traces are in the narrowest cohort of each."""
    tools_known: Codes
    """How many different tools each trace called: the size of its tool set."""
    steps: Surprise
    turn: Codes
    """Which of its session a trace is, from 1."""
    turns: Codes
    asked_again: Codes
    """Row of the later trace whose request is like that of this one; -1: none."""
    workflow: Codes
    """Service, feature and root name, as a number."""
    pattern: Codes
    """What failed and where, as a number: reasons and name of the root; -1: nothing failed."""
    pattern_size: Floats
    """How many traces show the pattern."""
    scores_above: Floats
    """Of each judgement of `population.judged`: which share of the scores of its name it is above; NaN: no number."""
    looks_for: Mapping[str, str]
    """The failure mode of an evaluation, by its name."""


NAMES: Final = (
    "failure", "low_score", "judges_differ", "asked_again", "refusal", "hedging", "tool_loop", "odd_tools",
    "fast_and_short", "long_session", "tokens", "duration", "first_chunk", "cost", "broken", "model_flag",
)  # fmt: skip


def signals(
    database: TenantDatabase,
    where: Where,
    since: datetime | None = None,
    *,
    window: Window | None = None,
    step: Step = nobody,
    evaluators: Path = EVALUATORS,
) -> Signals:
    """Return the signals of the traces of a window (default: what was received since then, else the latest ones)."""
    found = read_population(database, where, window or recent_window(database, since), step=step)
    return measure(found, modes_looked_for(evaluators))


def measure(population: Population, looks_for: Mapping[str, str] = NOBODY_LOOKS) -> Signals:
    """Return the signals of these traces, each compared with the others.

    `looks_for`: the failure mode of an evaluation, by its name; those of one mode are judges of the same.
    """
    p = population
    tools_known = _distinct(p.tools.offsets, p.tools.codes)
    service, feature = codes(p.service), codes(p.service, p.feature)
    workflow = codes(feature, p.root)
    task = codes(workflow, np.minimum(tools_known, 5))
    levels, wide = (task, workflow, feature, service), (workflow, feature, service)
    steps = surprise(p.tools, workflow)
    later, again = _asked_again(p, wide)
    turn, turns, session = _sessions(p, (feature, service))
    failure, pattern, pattern_size = _failures(p)
    low, above = _low_score(p)
    columns = {
        "failure": failure,
        "low_score": low,
        "judges_differ": _judges_differ(p, looks_for),
        "asked_again": again,
        "refusal": _rare(p.refusals, p.refusals > 0, np.ones(p.size), wide),
        "hedging": _hedging(p, wide),
        "tool_loop": _tool_loop(p, wide),
        "odd_tools": _unusual(steps.nats_per_step, (workflow,), LEAST_NATS),
        "fast_and_short": _fast_and_short(p, wide),
        "long_session": session,
        "tokens": _high(p.tokens, levels),
        "duration": _outlier(p.took_ms, levels),
        "first_chunk": _outlier(p.first_chunk_s, levels),
        "cost": _outlier(p.cost_usd, levels),
        "broken": _rare(p.defects.lengths.astype(float), p.defects.lengths > 0, np.ones(p.size), wide),
    }
    columns["model_flag"] = _model_flag(p, columns)
    columns["refusal"] = _unless_jailbreak(p, columns["refusal"])
    every = np.ones(p.size, bool)
    return Signals(
        population=p,
        columns=columns,
        cohort_sizes=sizes(task, every),
        tools_known=tools_known,
        steps=steps,
        turn=turn,
        turns=turns,
        asked_again=later,
        workflow=workflow,
        pattern=pattern,
        pattern_size=pattern_size,
        scores_above=above,
        looks_for=looks_for,
    )


def _column(value: NDArray[Any], strength: NDArray[Any], compared: Floats | None = None) -> Column:
    return Column(
        value.astype(np.float64),
        strength.astype(np.float64),
        np.full(len(value), np.nan) if compared is None else compared,
    )


def _rare(value: Floats, has: NDArray[np.bool_], strength: Floats, levels: Sequence[Codes]) -> Column:
    """Return a signal that is a fact, less strong the more of its cohort has it."""
    share = shares(has, levels)
    return _column(value, np.where(has, strength * (1 - share), 0.0), share)


def _high(value: Floats, levels: Sequence[Codes]) -> Column:
    """Return a signal of what is above most of its cohort, and not by a trifle: somebody always has the most."""
    above = percentiles(value, levels)
    z, _ = robust_z(_log(value), levels, LEAST_LOG_SIGMA)
    return _column(value, ramp(above, HIGH, 1.0) * ramp(z, APART_Z, UNUSUAL_Z), above)


def _unusual(value: Floats, levels: Sequence[Codes], least_sigma: float) -> Column:
    z, middle = robust_z(value, levels, least_sigma)
    return _column(value, ramp(z, UNUSUAL_Z, CERTAIN_Z), middle)


def _outlier(value: Floats, levels: Sequence[Codes]) -> Column:
    """Return a signal of what is above its cohort on the scale of its logarithm."""
    z, middle = robust_z(_log(value), levels, LEAST_LOG_SIGMA)
    return _column(value, ramp(z, UNUSUAL_Z, CERTAIN_Z), np.exp(middle))


def _log(value: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value > 0, np.log(value), np.nan)


def _low_score(p: Population) -> tuple[Column, Floats]:
    """Return what somebody or an evaluation found bad, and what each score is above; the value is how often it was."""
    j = p.judged
    _, name = np.unique(j.name, return_inverse=True)
    above = percentiles(j.lowest, (name.astype(np.int64),))
    strength = np.where(j.negative > 0, 1.0, np.where(j.positive > 0, 0.0, ramp(above, LOW_SCORE, 0.0)))
    return _column(np.bincount(j.row, j.negative, p.size), _most(p, j.row, strength)), above


def _judges_differ(p: Population, looks_for: Mapping[str, str]) -> Column:
    """Return how far those differ who judged a trace for the same thing: the value is the distance; 1 for yes and no.

    The same are judgements under one name (a judge that is asked again and again is one of them), and those of
    evaluators that look for one failure mode.
    """
    j = p.judged
    mode = np.array([f"mode\n{looks_for[n]}" if n in looks_for else n for n in j.name.tolist()], np.str_)
    group = codes(j.row, mode) if len(j.row) else j.row
    n = int(group.max(initial=-1)) + 1
    lowest, highest = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(lowest, group, np.where(np.isnan(j.lowest), np.inf, j.lowest))
    np.maximum.at(highest, group, np.where(np.isnan(j.highest), -np.inf, j.highest))
    both = (np.bincount(group, j.negative, n) > 0) & (np.bincount(group, j.positive, n) > 0)
    apart = np.maximum(both, np.where(np.isfinite(lowest), highest - lowest, 0.0))[group]
    return _column(_most(p, j.row, apart), _most(p, j.row, ramp(apart, DIFFERENT, 2 * DIFFERENT)))


def _model_flag(p: Population, columns: Mapping[str, Column]) -> Column:
    """Return what a model said of traces that signals were not sure of; the value is its confidence.

    What a signal says or explains already is not counted twice: only the rest of it is left to the model.
    """
    f = p.flagged
    strength = ramp(f.confidence, DOUBTED, BELIEVED)
    for category, names in ALREADY_SAID.items():
        said = f.category == category
        for name in names:
            strength = np.where(said, strength * (1 - columns[name].strength[f.row]), strength)
    value = np.full(p.size, np.nan)
    value[f.row] = f.confidence
    return _column(value, _most(p, f.row, strength))


def _unless_jailbreak(p: Population, refusal: Column) -> Column:
    f = p.flagged
    sure = np.where(f.category == JAILBREAK, ramp(f.confidence, DOUBTED, BELIEVED), 0.0)
    return replace(refusal, strength=refusal.strength * (1 - _most(p, f.row, sure)))


def _asked_again(p: Population, levels: Sequence[Codes]) -> tuple[Codes, Column]:
    """Return the row of the next like request, and the signal.

    It is the earlier answer that did not do: the trace that is asked again has the whole strength, the repetition half.
    """
    near = ramp(p.likeness, LIKE, SAME) * (p.request_chars >= LEAST_CHARS) * (p.like >= 0)
    repeats = np.flatnonzero(near > 0)
    later = np.full(p.size, -1, np.int64)
    value, strength = np.where(near > 0, p.likeness, 0.0), near / 2
    # The latest first, so that the next repetition of a request is what remains.
    for row in repeats[np.argsort(-p.start_ns[repeats], kind="stable")]:
        earlier = int(p.like[row])
        later[earlier] = row
        value[earlier] = max(value[earlier], p.likeness[row])
        strength[earlier] = max(strength[earlier], near[row])
    return later, _rare(value, strength > 0, strength, levels)


def _hedging(p: Population, levels: Sequence[Codes]) -> Column:
    per_100 = 100 * p.hedges / p.answer_words
    strength = ramp(per_100, 0, HEDGES_PER_100_WORDS) * ramp(p.hedges, 0, 2)
    return _rare(per_100, p.hedges > 0, strength, levels)


def _tool_loop(p: Population, levels: Sequence[Codes]) -> Column:
    loops = p.same_calls >= LOOP_CALLS
    return _rare(p.same_calls, loops, ramp(p.same_calls, LOOP_CALLS - 2, LOOP_CERTAIN_CALLS), levels)


def _fast_and_short(p: Population, levels: Sequence[Codes]) -> Column:
    """Return answers that were quicker and shorter than nearly all, to requests that deserved more; value: words."""
    asked = p.request_chars >= ASKED_CHARS
    words = np.where(asked, p.answer_words, np.nan)
    above = np.maximum(percentiles(words, levels), percentiles(np.where(asked, p.took_ms, np.nan), levels))
    return _column(words, ramp(above, QUICK, 0.0), above)


def _sessions(p: Population, levels: Sequence[Codes]) -> tuple[Codes, Codes, Column]:
    """Return the number of each trace in its session, how many there are, and how long the session is for its kind.

    Its length is that in which it is most unusual: turns, tokens or time. Late turns are the stronger: it is there that
    a context is full.
    """
    n = p.size
    session = codes(p.session)
    order = np.lexsort((p.start_ns, session))
    first = np.searchsorted(session[order], np.arange(int(session.max(initial=-1)) + 1))
    turn = np.empty(n, np.int64)
    turn[order] = np.arange(n) - first[session[order]] + 1
    turns = np.bincount(session, minlength=len(first))
    tokens = np.bincount(session, np.nan_to_num(p.tokens), len(first))
    ends = np.full(len(first), np.iinfo(np.int64).min)
    np.maximum.at(ends, session, p.end_ns)
    lasted = (ends - p.start_ns[order][first] if n else ends).astype(np.float64)
    own = [level[order][first] for level in levels]
    # Compared are sessions of several turns.
    kinds = [_high(np.where(turns >= LONG_TURNS, size, np.nan), own) for size in (turns, tokens, lasted)]
    strength = np.max([kind.strength for kind in kinds], axis=0)
    above = np.fmax.reduce([kind.compared for kind in kinds])
    of_session = turns[session]
    return turn, of_session, _column(of_session, strength[session] * turn / of_session, above[session])


def _failures(p: Population) -> tuple[Column, Codes, Floats]:
    """Return the signal, and what failed and where as a number, with how many traces show it.

    What somebody said is no pattern of behaviour, and is in `low_score`. An error of a tool that was made up for by
    another call is a weaker sign, and a pattern of its own.
    """
    rows = _rows(p.reasons.offsets)
    named = np.array(p.reasons.names, np.str_)
    own = ~np.char.startswith(named, FEEDBACK)[p.reasons.codes]
    other_than_tools = own & (named != TOOL_ERROR)[p.reasons.codes]
    count = np.bincount(rows, own, p.size)
    fails = p.failing & ((count > 0) | (p.reasons.lengths == 0))
    recovered = fails & p.recovered & (np.bincount(rows, other_than_tools, p.size) == 0)
    kind = np.full(p.size, "", object)
    for row in np.flatnonzero(fails):
        reasons = (r for r in p.reasons.of(int(row)) if not r.startswith(FEEDBACK))
        kind[row] = "\n".join((*reasons, str(recovered[row]), str(p.root[row])))
    number = codes(kind.astype(np.str_))
    strength = np.where(fails, np.where(recovered, RECOVERED, 1.0), 0.0)
    return _column(count, strength), np.where(fails, number, -1), np.where(fails, sizes(number, fails), 0.0)


def _rows(offsets: Codes) -> Codes:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _distinct(offsets: Codes, of: Codes) -> Codes:
    pairs = np.unique(np.stack((_rows(offsets), of)), axis=1)
    return np.bincount(pairs[0], minlength=len(offsets) - 1)


def _most(p: Population, row: Codes, value: Floats) -> Floats:
    found = np.full(p.size, 0.0)
    np.maximum.at(found, row, value)
    return found


__all__ = ["MIN_COHORT", "NAMES", "Column", "Signals", "measure", "signals"]
