"""Fixtures and settings for all tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

pytest_plugins = ["tests.fixtures_browser", "tests.fixtures_clickhouse"]

# No deadlines: the machine that runs tests also does other things.
settings.register_profile("every run", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None)
settings.load_profile("every run")


BOTH_ENGINES = {
    "clickhouse/test_connect.py",
    "clickhouse/test_export.py",
    "clickhouse/test_migrate.py",
    "evalgate/test_cli.py",
    "settle/test_corpus.py",
}
"""Modules whose tests run on the embedded engine and on the server in every run; those of others have the same
statements on the second one in thorough runs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs every test; tests/faults/conftest.py reads it too."""
    parser.addoption("--faults", action="store_true", help="run every test, not only the quick ones")


def pytest_configure(config: pytest.Config) -> None:
    """Try more examples where there is time."""
    settings.load_profile("thorough" if config.getoption("--faults") else "every run")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Mark what repeats a test on the second engine; leave out what is thorough, but where its file is named."""
    here = Path(__file__).parent
    ids = {i.nodeid for i in items}
    for item in items:
        again = "server" in item.name and item.nodeid.replace("server", "embedded") in ids
        if again and item.path.relative_to(here).as_posix() not in BOTH_ENGINES:
            item.add_marker(pytest.mark.thorough)
    yield
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
