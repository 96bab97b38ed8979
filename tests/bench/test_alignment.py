"""The bench of alignment runs, and would say so if the bound did not hold."""

from __future__ import annotations

from typing import Any

import pytest

from bench.alignment import bound, checks, drops, looks, markdown, permission
from schema.alignment import PermissionRule


@pytest.mark.thorough
def test_small_sizes_meet_every_target_and_make_tables() -> None:
    document: dict[str, Any] = {
        "bounds": [bound(5, 5), bound(10, 10)],
        "permissions": [*permission(5), *permission(10)],
        "looks": looks(20, 1),
        "drops": drops(20, 10, 400, 1),
    }
    assert all(c.is_met for c in checks(document)), [c for c in checks(document) if not c.is_met]
    assert "| 5 + 5 | 91.5 % | 99.2 % | 0 |" in markdown(document)
    (coin,) = (p for p in permission(5) if p["rate"] == 0.5)
    assert coin[PermissionRule.POINT] == pytest.approx(0.055, abs=0.001)
    assert coin[PermissionRule.LOWER_BOUND] == 0
    worse = {**document, "bounds": [{**document["bounds"][0], "worst": 0.8, "wrong": 0.2}]}
    assert sum(not c.is_met for c in checks(worse)) == 2
