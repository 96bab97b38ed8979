"""What `evalgate stats` says where a condition or the name of a group is the mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from evalgate.app import run
from tests.evalgate.test_stats_cli import SINCE, shop

if TYPE_CHECKING:
    from pathlib import Path

    from evalgate.database import TenantDatabase

pytestmark = pytest.mark.parametrize("dsn", ["embedded"], indirect=True, scope="module")


def test_conditions_that_nothing_meets_are_named(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    shop(database)
    for command in (["stats"], ["stats", "--by", "release"], ["stats", "modes"]):
        assert run([*command, *SINCE, "--where", "service_name = zzz", "--dsn", dsn]) == 0
        assert "that meet --where. Check the condition" in capsys.readouterr().out


def test_known_groups_are_listed_once(
    database: TenantDatabase, dsn: str, capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert run(["stats", "--by", "x", "--dsn", dsn]) == 2
    told = capsys.readouterr().err
    assert [told.count(name) for name in ("environment", "agent_name", "reason")] == [1, 1, 1]
