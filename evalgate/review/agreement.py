"""How far reviewers agree with each other: of pairs, of all, of each failure mode, and where they differ.

Of each person the latest label of a trace (or span) counts; adjudications are decisions, and no second opinion.
Verdicts are compared wherever two labelled; failure modes where both saw a failure and named it: that one of them saw
none is told by the verdicts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.review.decided import differ, independent_each, is_disputed
from schema.statistics import MIN_ITEMS, MIN_RARE, RELIABLE, TENTATIVE, Coefficient, cohen_kappa, krippendorff_alpha

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from evalgate.database import TenantDatabase

    Row = Mapping[str, Any]

WIDE: Final = 0.4
"""An interval as wide says little: it spans half of what is worth telling apart."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two reviewers; Cohen's κ."""

    reviewers: tuple[str, str]
    verdicts: Coefficient
    modes: Coefficient


@dataclass(frozen=True, slots=True)
class ModeAgreement:
    """One failure mode; Krippendorff's α of saying it or not, over what several people labelled."""

    failure_mode: str
    named: int
    """Traces of which at least one says it."""
    named_by_all: int
    """Of these, where all say it."""
    coefficient: Coefficient


@dataclass(frozen=True, slots=True)
class Said:
    """One reviewer's word."""

    annotator: str
    verdict: str
    failure_mode: str
    comment: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A trace, or a span of one, of which reviewers say different things, and nobody has decided."""

    trace_id: str
    span_id: str
    queue: str
    said: tuple[Said, ...]
    """By name of the annotator."""


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """How far reviewers agree."""

    several: int
    """Traces (or spans) that at least two people labelled."""
    labelled: int
    """Traces (or spans) that anybody labelled."""
    verdicts: Coefficient
    """Krippendorff's α of all reviewers."""
    modes: Coefficient
    pairs: tuple[Pair, ...]
    """Those with something in common, the most of it first."""
    per_mode: tuple[ModeAgreement, ...]
    """The frequent ones first."""
    disagreements: tuple[Disagreement, ...]
    """The latest first; those that somebody decided are left out."""
    adjudicated: int
    """Disagreements that somebody decided."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What it means, in words."""
        return tuple(_sentences(self))


def agreement(
    database: TenantDatabase,
    *,
    queue: str | None = None,
    since: datetime | None = None,
    without: Collection[str] = (),
) -> AgreementReport:
    """Return how far those who labelled the same traces agree; of one queue's traces, or by labels since then.

    A label of a queue's trace counts wherever it was given, as it does for the item.
    `without`: traces that are left out, as not everybody has said yet what he thinks of them.
    """
    conditions = ""
    bound: dict[str, object] = {}
    if queue is not None:
        conditions += f" AND trace_id IN ({sql(__package__, 'queued')})"
        bound["queue"] = queue
    if since is not None:
        conditions += " AND created_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')"
        bound["since_us"] = round(since.timestamp() * 1e6)
    rows = database.rows(sql(__package__, "judgements").replace("/* conditions */", conditions), bound)
    rows = [r for r in rows if r["trace_id"] not in without]
    (total,) = database.rows(sql(__package__, "items").replace("/* conditions */", conditions), bound)
    return agreement_of(rows, int(total["items"]))


def agreement_of(rows: Iterable[Row], labelled: int | None = None) -> AgreementReport:
    """Return the same of rows of labels; `labelled`: items in all, where rows are only of those with several labels."""
    items: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        items.setdefault((row["trace_id"], row["span_id"]), []).append(row)
    each = {item: independent_each(said) for item, said in items.items()}
    several = {item: said for item, said in each.items() if len(said) > 1}
    ordered = [several[item] for item in sorted(several)]
    differing = {item for item in several if differ(items[item])}
    disputed = [item for item in differing if is_disputed(items[item])]
    return AgreementReport(
        several=len(several),
        labelled=len(each) if labelled is None else labelled,
        verdicts=krippendorff_alpha([[r["verdict"] for r in said.values()] for said in ordered]),
        modes=krippendorff_alpha([[m for r in said.values() if (m := _mode(r))] for said in ordered]),
        pairs=tuple(_pairs(ordered)),
        per_mode=tuple(_per_mode(ordered)),
        disagreements=tuple(
            _disagreement(item, several[item]) for item in sorted(disputed, key=lambda i: (-_latest(several[i]), i))
        ),
        adjudicated=len(differing) - len(disputed),
    )


def reading_of(found: Coefficient) -> str:
    """Return what a coefficient means in a few words; what the interval leaves open is not claimed.

    The limits are Krippendorff's: rely on 0.8 and more, draw tentative conclusions from 0.667.
    """
    if found.value is None or found.low is None or found.high is None:
        if found.n < MIN_ITEMS:
            return f"too few to say: {found.n} of {MIN_ITEMS}"
        if not found.rare:
            return "cannot be told: everybody says the same word"
        return f"too few to say: {found.rare} of {MIN_RARE} with another word than the most common"
    if found.low >= RELIABLE:
        return "reliable"
    if found.high < TENTATIVE:
        return "not reliable: agree on what counts first"
    if found.low >= TENTATIVE:
        return "good enough for tentative conclusions"
    is_wide = found.high - found.low > WIDE
    return "too wide to say: label more of the same traces" if is_wide else "the interval leaves it open"


def coefficient_json(found: Coefficient) -> dict[str, Any]:
    """Return the JSON object of a coefficient."""
    return {**asdict(found), "observed": found.observed, "reading": reading_of(found)}


def report_json(report: AgreementReport) -> dict[str, Any]:
    """Return the JSON object of `evalgate agreement --json`."""
    return {
        "labelled": report.labelled,
        "several": report.several,
        "verdicts": coefficient_json(report.verdicts),
        "failure_modes": coefficient_json(report.modes),
        "pairs": [
            {
                "reviewers": list(p.reviewers),
                "verdicts": coefficient_json(p.verdicts),
                "failure_modes": coefficient_json(p.modes),
            }
            for p in report.pairs
        ],
        "per_mode": [
            {
                "failure_mode": m.failure_mode,
                "named": m.named,
                "named_by_all": m.named_by_all,
                **coefficient_json(m.coefficient),
            }
            for m in report.per_mode
        ],
        "disagreements": [asdict(d) for d in report.disagreements],
        "adjudicated": report.adjudicated,
        "sentences": list(report.sentences),
    }


def _mode(row: Row) -> str:
    """Return the failure mode that was named; nothing where no failure was seen."""
    return str(row["failure_mode"]) if row["verdict"] != "good" else ""


def _latest(said: Mapping[str, Row]) -> int:
    return max(int(r["created_unix_us"]) for r in said.values())


def _pairs(items: Sequence[Mapping[str, Row]]) -> Iterable[Pair]:
    common: dict[tuple[str, str], list[tuple[Row, Row]]] = {}
    for said in items:
        for first, second in combinations(sorted(said), 2):
            common.setdefault((first, second), []).append((said[first], said[second]))
    for reviewers in sorted(common, key=lambda p: (-len(common[p]), p)):
        both = common[reviewers]
        named = [(_mode(a), _mode(b)) for a, b in both if _mode(a) and _mode(b)]
        yield Pair(reviewers, cohen_kappa([(a["verdict"], b["verdict"]) for a, b in both]), cohen_kappa(named))


def _per_mode(items: Sequence[Mapping[str, Row]]) -> Iterable[ModeAgreement]:
    words = [[_mode(r) for r in said.values()] for said in items]
    counts = {mode: sum(mode in said for said in words) for mode in {m for said in words for m in said if m}}
    for mode in sorted(counts, key=lambda m: (-counts[m], m)):
        told = krippendorff_alpha([["yes" if w == mode else "no" for w in said] for said in words])
        yield ModeAgreement(mode, counts[mode], sum(set(said) == {mode} for said in words), told)


def _disagreement(item: tuple[str, str], said: Mapping[str, Row]) -> Disagreement:
    queue = next((str(r["queue"]) for r in said.values() if r["queue"]), "")
    words = tuple(
        Said(name, str(said[name]["verdict"]), str(said[name]["failure_mode"]), str(said[name]["comment"]))
        for name in sorted(said)
    )
    return Disagreement(*item, queue, words)


def _sentences(report: AgreementReport) -> Iterable[str]:
    if not report.several:
        yield (
            "No trace has the labels of two people, so nobody knows how far they would agree: let two reviewers label "
            "the same traces (evalgate queue create NAME --reviewers 2)."
        )
        return
    yield f"Verdicts: {reading_of(report.verdicts)}."
    if report.modes.n:
        yield f"Failure modes, where several named one: {reading_of(report.modes)}."
    if report.disagreements:
        yield f"{len(report.disagreements)} to decide: evalgate label --adjudicate"
