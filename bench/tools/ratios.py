"""The verdicts of ingest.py: our CPU beside a peer's, from raw results, fresh or read back from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bench.tools.report import Check, markdown_table, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tools.report import Document

OURS_NAME: Final = "evalgate"
RATIO_TARGETS: Final = (
    ("genai-http-512", "rotel-plain", 0.55),
    ("genai-http-512", "rotel-lz4", 0.40),
    ("genai-grpc-512", "rotel-plain", 0.65),
    ("small-http-512", "rotel-plain", 0.65),
    ("small-grpc-512", "rotel-plain", 0.65),
)
"""Of ours to the peer's, into the sink. Rotel compresses with LZ4 by default."""
SERVER_RATIO_TARGETS: Final = (("genai-http-512", "rotel-lz4", 0.5), ("genai-http-512", "rotel-plain", 0.5))
"""As above, collector and server together."""
RSS_PEAK_TARGET_MB: Final = 400


def checks(document: Document) -> list[Check]:
    """Return the ratios and the memory that have targets, of the cases that were measured."""
    found = [Figure.of(one) for one in document["measurements"]]
    real = any(one.real for one in found)
    best = _best(found)
    result = []
    for case, peer, limit in SERVER_RATIO_TARGETS if real else RATIO_TARGETS:
        ours, theirs = best.get((case, OURS_NAME)), best.get((case, peer))
        if ours and theirs:
            behind = ", database included" if real else ""
            result.append(Check(f"{case}: CPU, ours ÷ {peer}{behind}", ours.cpu_s / theirs.cpu_s, limit))
    peaks_mb = [one.rss_peak_bytes / 1e6 for one in found if one.target == OURS_NAME]
    if peaks_mb:
        result.append(Check("memory at its peak, worst case", max(peaks_mb), RSS_PEAK_TARGET_MB, "MB"))
    problems = sum(len(one["problems"]) for one in document["measurements"])
    return [*result, Check("spans lost, doubled, refused or late: problems told", problems, 0)]


def markdown(document: Document) -> str:
    """Return a line for each case: CPU seconds for a million spans of each target, and our ratios."""
    found = [Figure.of(one) for one in document["measurements"]]
    targets = list(dict.fromkeys(one.target for one in found))
    best = _best(found)
    rows = []
    for case in dict.fromkeys(one.case for one in found):
        here = {name: best[case, name] for name in targets if (case, name) in best}
        ours = here.get(OURS_NAME)
        ratios = [
            f"{ours.cpu_s / here[name].cpu_s:.2f}" if ours and name in here else ""
            for name in targets
            if name != OURS_NAME
        ]
        peak = f"{ours.rss_peak_bytes / 1e6:.0f}" if ours else ""
        rows.append([case, *(here[name].text if name in here else "" for name in targets), *ratios, peak])
    header = ["CPU-s/M", *targets, *(f"ours ÷ {name}" for name in targets if name != OURS_NAME), "our peak MB"]
    return markdown_table(header, rows)


@dataclass(frozen=True, slots=True)
class Figure:
    """What the verdicts need of one measurement, also of one that was read back from a file."""

    case: str
    target: str
    collector_cpu_s: float
    """For a million accepted spans, as below."""
    database_cpu_s: float
    """Of a real database; that of the sink does not count."""
    real: bool
    rss_peak_bytes: int

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Figure:
        """Read it from a measurement as it is kept."""
        real = raw["rows"] is not None
        million = max(raw["sent"]["accepted"], 1) / 1e6
        database_cpu_s = raw["database_cpu_s"] / million if real else 0.0
        return cls(raw["case"], raw["target"], raw["cpu_s"] / million, database_cpu_s, real, raw["rss_peak_bytes"])

    @property
    def cpu_s(self) -> float:
        """All that counts."""
        return self.collector_cpu_s + self.database_cpu_s

    @property
    def text(self) -> str:
        """As a table shows it."""
        return (
            f"{number(self.collector_cpu_s)} + {number(self.database_cpu_s)} = {number(self.cpu_s)}"
            if self.real
            else number(self.cpu_s)
        )


def _best(found: Sequence[Figure]) -> dict[tuple[str, str], Figure]:
    best: dict[tuple[str, str], Figure] = {}
    for one in found:
        known = best.get((one.case, one.target))
        if known is None or one.cpu_s < known.cpu_s:
            best[one.case, one.target] = one
    return best
