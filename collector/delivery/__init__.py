"""From the journal to the exporters: one lane for each, so that none waits for another.

    journal ─┬─ reader "clickhouse" ─▶ lane: decode ─▶ processors ─▶ export ─▶ confirm
             ├─ reader "parquet"    ─▶ lane: decode ─▶ processors ─▶ export ─▶ confirm
             └─ reader "otlp"       ─▶ lane: ───────── requests as they came ─▶ export ─▶ confirm

A lane delivers one batch at a time, in order, for ever: what another try may help is tried again with the same token
(retry.py), what is at fault itself is found by halving and set aside (lane.py, halves.py), and a batch that took the
process down twice is first read in a child process (suspect.py).
"""

from __future__ import annotations

from collector.delivery.lane import Lane, Source
from collector.delivery.lanes import Lanes
from collector.delivery.progress import Progress

__all__ = ["Lane", "Lanes", "Progress", "Source"]
