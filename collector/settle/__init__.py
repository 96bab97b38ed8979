"""Settlement: traces that came in pieces are read again as a whole, once they are quiet.

    find ─▶ read ─▶ the pipeline's own processors ─▶ compare ─▶ span_revisions ─▶ settlements ─▶ progress

A span is first understood from what came with it in one INSERT. Which of two records of a call counts, what session a
trace belongs to, what a log record says of a span that came earlier: these are right only for what was at hand. So
traces that came in several INSERTs, or have loose ends, are read whole from the database, run through the same
processors, and what differs is written beside the first reading (docs/settlement.md).

Every step may be repeated, by this process or another: a revision and a settlement are absolute statements about rows
that are named, never increments, and the latest version holds.
"""

from __future__ import annotations

from collector.settle.settler import Limits, Outcome, Settler

__all__ = ["Limits", "Outcome", "Settler"]
