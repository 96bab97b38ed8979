"""What reviewed items say about the points of signals. Pure.

Points are added, so what a signal is worth is how much it raises the log-odds of a failure, given the other signals.
That is estimated as logistic regression of the verdict on the strengths of all signals, and not signal by signal from
shares: items are reviewed because of their signals, and shares of signals among failures and others are distorted by
that, where the odds given the signals are not (they are those of the traffic, whatever chose the items by them).

    logit P(bad) = a + k (sum of points x strength) + sum of d x strength

The prior is the present points: d ~ N(0, SIGMA), so that evidence has to move a signal away from where it is. With
SIGMA, the prior weighs as much as ten items that show the signal at a failure rate of 0.3 (information 0.21 each); ten
labels are what a first evaluator needs, too. k, nats for each point, is near 0.1: a certain sign of 40 points lifts a
share of 3 % above one half. No points more than double or halve at once, a signal that fewer than five reviewed items
showed stays, and so does what somebody switched off.

Items count that were added under the present points. So nothing counts twice: what moved the points is in them, as the
prior of the next proposal.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import yaml

from evalgate.errors import BadInput
from evalgate.signals.weights import QueueSettings, Weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from evalgate.queue.yields import Looked, Yield

    Floats = NDArray[np.float64]

SIGMA: Final = 0.7
SCALE: Final = 0.1
SCALE_SIGMA: Final = 0.05
LEAST_SCALE: Final = SCALE / 4
INTERCEPT_SIGMA: Final = 5.0
MOST_CHANGE: Final = 2.0
MOST_POINTS: Final = 100.0
"""Nothing is raised above it; who has more keeps it."""
STEP: Final = 0.5
"""Points are told in halves."""
LEAST_ITEMS: Final = 5
LEAST_REVIEWED: Final = 20
"""Reviewed items, and among them one that is bad and one that is not, before anything is said."""
ROUNDS: Final = 50
BY_HAND: Final = "the file of weights is not one line for each signal: change it by hand, as the proposal says (--json)"


@dataclass(frozen=True, slots=True)
class PointsChange:
    """What is proposed for one signal."""

    signal: str
    before: float
    after: float
    items: int
    """Reviewed ones that showed it."""
    bad: int
    """Of these."""
    raises: float
    """Estimated log-odds, in nats, of its full strength."""


@dataclass(frozen=True, slots=True)
class Reweighted:
    """A proposal."""

    weights: Weights
    changes: tuple[PointsChange, ...]
    """Of every signal that was seen often enough, those first that change most."""
    reviewed: int
    why_not: str = ""
    """Why nothing is proposed."""


def reweight(yield_: Yield, weights: Weights) -> Reweighted:
    """Return points that the reviewed items speak for, shrunk towards the present ones."""
    return reweight_by(yield_.looked, weights, yield_.own_points)


def reweight_by(every: Sequence[Looked], weights: Weights, own_points: AbstractSet[str] = frozenset()) -> Reweighted:
    """Return the same of the items alone; `own_points` are signals that a queue has points of its own for."""
    looked = [x for x in every if _is_scored_so(x, weights, own_points)]
    bad = np.array([x.is_bad for x in looked], np.float64)
    older = f" ({len(every) - len(looked)} were added under other points)" if len(every) > len(looked) else ""
    if len(looked) < LEAST_REVIEWED or not 0 < bad.sum() < len(looked):
        items = f"{len(looked)} reviewed items{older}, {int(bad.sum())} of them bad"
        why = f"{items}: it takes {LEAST_REVIEWED}, and both kinds"
        return Reweighted(weights, (), len(looked), why)
    names = [n for n in Weights.model_fields if weights.of(n) > 0]
    strengths = np.array([[x.strengths.get(n, 0.0) for n in names] for x in looked], np.float64)
    shown = (strengths > 0).sum(axis=0)
    points = np.array([weights.of(n) for n in names])
    scale, raises = _fit(strengths, points, bad)
    most = np.maximum(points, np.minimum(points * MOST_CHANGE, MOST_POINTS))
    proposed = np.clip(raises / scale, points / MOST_CHANGE, most)
    proposed = np.maximum(np.round(proposed / STEP) * STEP, STEP)
    proposed = np.where(shown >= LEAST_ITEMS, proposed, points)
    changes = [
        PointsChange(
            name,
            float(points[i]),
            float(proposed[i]),
            int(shown[i]),
            int(bad[strengths[:, i] > 0].sum()),
            float(raises[i]),
        )
        for i, name in enumerate(names)
        if shown[i] >= LEAST_ITEMS
    ]
    if not changes:
        why = f"no signal was shown by {LEAST_ITEMS} of {len(looked)} reviewed items{older}"
        return Reweighted(weights, (), len(looked), why)
    changes.sort(key=lambda c: (-abs(np.log(c.after / c.before)), c.signal))
    updated = weights.model_copy(update={c.signal: c.after for c in changes})
    return Reweighted(updated, tuple(changes), len(looked))


def _is_scored_so(item: Looked, weights: Weights, own_points: AbstractSet[str]) -> bool:
    """Tell whether an item was added under these points, as far as it shows; what is stored is rounded."""
    return all(
        abs(points - weights.of(name) * item.strengths[name]) <= 0.02 * points + 0.01
        for name, points in item.points.items()
        if points > 0 and item.strengths.get(name, 0.0) > 0 and name in Weights.model_fields and name not in own_points
    )


def proposal(text: str, weights: Weights) -> str:
    """Return the text of evals/queue.yaml with these points: comments and order stay, what is lacking is added.

    Raises:
        BadInput: the file is written in a way that cannot be edited line by line.

    """
    document = yaml.safe_load(text) or {}
    try:
        given = QueueSettings.model_validate(document).weights
    except ValueError:  # it holds expansions such as ${env:NAME}
        raise BadInput(BY_HAND) from None
    changed = {n: weights.of(n) for n in Weights.model_fields if weights.of(n) != given.of(n)}
    lines = text.splitlines() or ["weights:"]
    rest = dict(changed)
    for at, line in enumerate(lines):
        match = re.fullmatch(r"(\s+)([a-z_]+)(\s*:\s*)([^\s#]+)(.*)", line)
        if match and match[2] in rest:
            lines[at] = f"{match[1]}{match[2]}{match[3]}{rest.pop(match[2]):g}{match[5]}"
    if rest:
        head = next((at for at, line in enumerate(lines) if re.fullmatch(r"weights:\s*(#.*)?", line)), None)
        if head is None and "weights" in document:
            raise BadInput(BY_HAND)
        if head is None:
            lines, head = [*lines, "weights:"], len(lines)
        indents = [re.match(r"\s+", line) for line in lines[head + 1 :]]
        indent = next((m[0] for m in indents if m), "  ")
        lines[head + 1 : head + 1] = [f"{indent}{name}: {points:g}" for name, points in rest.items()]
    edited = "\n".join(lines) + "\n"
    try:
        read = QueueSettings.model_validate(yaml.safe_load(edited)).weights
    except (ValueError, yaml.YAMLError):
        read = None
    if read != weights:
        raise BadInput(BY_HAND)
    return edited


def diff(before: str, after: str, name: str) -> list[str]:
    """Return the lines of a unified diff."""
    return [
        line.rstrip("\n")
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name} (proposed)", n=1)
    ]


def _fit(strengths: Floats, points: Floats, bad: Floats) -> tuple[float, Floats]:
    """Return k and the log-odds of each signal at full strength: the mode of the posterior, by Newton's method."""
    design = np.column_stack([np.ones(len(bad)), strengths @ points, strengths])
    mean = np.r_[0.0, SCALE, np.zeros(len(points))]
    precision = 1 / np.r_[INTERCEPT_SIGMA, SCALE_SIGMA, np.full(len(points), SIGMA)] ** 2
    found = mean.copy()
    for _ in range(ROUNDS):
        likely = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        gradient = design.T @ (bad - likely) - precision * (found - mean)
        hessian = (design * (likely * (1 - likely))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        # Never by more than a part of what is plausible: Newton's method goes astray where all is certain.
        found += step / max(1.0, float(np.abs(step[2:]).max(initial=0.0)) / SIGMA)
        if np.abs(step).max() < 1e-9:
            break
    scale = max(float(found[1]), LEAST_SCALE)
    return scale, found[1] * points + found[2:]
