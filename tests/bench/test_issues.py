"""The bench of issues runs in its smoke size."""

from __future__ import annotations

from bench.issues import alarms


def test_what_rises_is_seen_and_what_does_not_is_not() -> None:
    for row in alarms(40):
        assert row["false"] < 0.08, row
        assert row["false"] < row["doubled"] <= row["tripled"], row
