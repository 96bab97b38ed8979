"""Fixtures and settings for all tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture(autouse=True, scope="session")
def state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the keys that commands make out of the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
