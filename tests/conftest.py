"""Fixtures and settings for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["tests.fixtures_clickhouse"]

# No deadlines: the machine that runs tests also does other things.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs every fault test; tests/faults/conftest.py reads it."""
    parser.addoption("--faults", action="store_true", help="run every fault test, not only the quick ones")
