"""Fixtures and settings for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.fixtures_browser", "tests.fixtures_clickhouse"]

# No deadlines: the machine that runs tests also does other things.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs every test; tests/faults/conftest.py reads it too."""
    parser.addoption("--faults", action="store_true", help="run every test, not only the quick ones")


@pytest.hookimpl(trylast=True)  # marks that other conftests add count
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is thorough, but with --faults or where its file is named."""
    if config.getoption("--faults"):
        return
    named = {Path(a.partition("::")[0]).resolve() for a in config.args}
    left_out = [i for i in items if i.get_closest_marker("thorough") is not None and i.path not in named]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [i for i in items if i not in gone]
