"""L4: a long steady load.

Injected: five minutes of steady load over HTTP and gRPC, or as many seconds as FAULTS_SOAK_S says (3600 for a night).
Holds: once warm, the memory in use does not grow by more than 1 MB an hour as far as the time can tell (least squares,
one-sided 99 %), nor the resident memory by 8 MB; descriptors and threads stay level, the journal keeps no segment that
is delivered, readiness never goes off; conserved.
Figure: in five minutes 129 364 spans, +2.3 ± 7.8 MB an hour in use, 0.7 MB more resident at 301 MB; in 500 s 217 014,
+5.2 ± 3.2, 0.2 MB less at 298 MB; 29 to 32 descriptors, 2 segments; 0 lost, 0 twice. A leak of 180 MB an hour, put in
on purpose, was told as 189. An hour was not tried: that takes 1 MB an hour apart from none.
"""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.harness import Collector, Launch

SOAK_S = float(os.environ.get("FAULTS_SOAK_S", "300"))
EVERY_S = 1.0
MB = 1e6
WARM_FROM = 0.4
"""Part of the time after which everything has been used: re-sent requests are recognised for a fifth of it."""
BLOCKS = 12
"""Into which the time after that is cut, one median of each: neighbouring samples say the same."""
T_99 = 2.764
"""Student's t for BLOCKS - 2 degrees of freedom, one-sided 99 %."""
HEAP = Path(__file__).parent / "harness" / "heap.py"
GROWTH_BYTES = 8 * MB
GROWTH_BYTES_PER_H = 1 * MB


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment."""

    at_s: float
    rss_bytes: int
    files: int
    threads: int
    segments: int
    is_ready: bool


def sample(collector: Collector, began_s: float) -> Sample:
    code, status = collector.health()
    return Sample(
        time.monotonic() - began_s,
        collector.rss_bytes(),
        collector.open_files(),
        len(list(Path(f"/proc/{collector.pid}/task").iterdir())),
        status["journal"]["segments"],
        code == 200,
    )


@pytest.mark.server
@pytest.mark.timeout(SOAK_S + 120)
def test_nothing_grows(
    launch: Launch, server_dsn: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # The window in which a re-sent request is recognised is full, and stays so, before half the time is over.
    heap = tmp_path / "heap"
    collector = launch(
        dsn=server_dsn,
        config={"receivers": {"otlp": {"redelivery_window_s": SOAK_S / 5}}},
        wrap=[sys.executable, str(HEAP), str(heap)],
    ).start()
    by_http = Producer(collector, spans_per_request=10, threads=1, pause_s=0.02)
    by_grpc = Producer(collector, spans_per_request=10, threads=1, pause_s=0.02, transport="grpc")
    samples: list[Sample] = []
    began_s = time.monotonic()
    with by_http, by_grpc:
        while time.monotonic() - began_s < SOAK_S:
            samples.append(sample(collector, began_s))
            by_http.wait(EVERY_S)
    assert all(s.is_ready for s in samples)
    warm = [s for s in samples if s.at_s >= WARM_FROM * SOAK_S]
    middle, end = warm[: len(warm) // 4], warm[-len(warm) // 4 :]
    growth = median(s.rss_bytes for s in end) - median(s.rss_bytes for s in middle)
    assert growth < GROWTH_BYTES, f"{growth / MB:.1f} MB more than when it was warm"
    per_hour, error = slope_per_hour([(at, n) for at, n in in_use(heap) if WARM_FROM * SOAK_S <= at <= SOAK_S])
    told = f"{per_hour / MB:+.1f} ± {error / MB:.1f} MB an hour in use"
    assert per_hour - T_99 * error < GROWTH_BYTES_PER_H, told
    files = sorted({s.files for s in middle + end})
    assert median(s.files for s in end) <= median(s.files for s in middle) + 2, files
    assert median(s.threads for s in end) <= median(s.threads for s in middle) + 2
    segments = max(s.segments for s in samples)
    assert segments <= 4, "delivered segments are written over"
    report = conserve(collector, by_http, by_grpc)
    record_property(
        "figure",
        f"{SOAK_S:.0f} s: {told}, {growth / MB:+.1f} MB resident at {median(s.rss_bytes for s in end) / MB:.0f} MB, "
        f"{files[0]} to {files[-1]} descriptors, {segments} segments at the most; {report}",
    )


def slope_per_hour(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return how much a value rises in an hour, by least squares over the medians of blocks, and its standard error.

    `points` are (seconds, value), in order.
    """
    size = len(points) // BLOCKS
    blocks = [points[i * size : (i + 1) * size] for i in range(BLOCKS)]
    hours = [median(at for at, _ in block) / 3600 for block in blocks]
    values = [median(value for _, value in block) for block in blocks]
    slope, intercept = linear_regression(hours, values)
    rest = sum((v - slope * h - intercept) ** 2 for h, v in zip(hours, values, strict=True)) / (BLOCKS - 2)
    center = sum(hours) / BLOCKS
    return slope, math.sqrt(rest / sum((h - center) ** 2 for h in hours))


def in_use(path: Path) -> list[tuple[float, float]]:
    """Return what `harness/heap.py` wrote: seconds, bytes."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(float(at), float(n)) for at, n in lines]


@pytest.mark.quick
@pytest.mark.parametrize("per_hour", [0.0, 30 * MB])
def test_the_slope_is_told_from_noise(per_hour: float) -> None:
    """Steps, as the heap makes them, and waves; five minutes of them."""
    points = [
        (s, 150 * MB + per_hour * s / 3600 + 0.2 * MB * math.sin(s / 7) + 0.005 * MB * (s % 40)) for s in range(300)
    ]
    slope, error = slope_per_hour([p for p in points if p[0] >= WARM_FROM * 300])
    assert abs(slope - per_hour) < T_99 * error
    assert (slope - T_99 * error < GROWTH_BYTES_PER_H) is (per_hour == 0)
