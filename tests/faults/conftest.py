"""Fixtures of the fault tests, and which of them run.

By default only those marked `quick`; all with --faults (`make faults`), or when a file is named.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.harness import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.harness import Launch

HERE = Path(__file__).parent
TIMEOUT_S = 60


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not quick, and give every fault test its minute."""
    ours = [item for item in items if HERE in item.path.parents]
    named = {Path(a.partition("::")[0]).resolve() for a in config.args}
    everything = config.getoption("--faults")
    left_out = set()
    for item in ours:
        if item.get_closest_marker("timeout") is None:
            # Without its fixtures: the first of them may compile kernels for a minute, or fetch a server.
            item.add_marker(pytest.mark.timeout(TIMEOUT_S, func_only=True))
        if not everything and item.path not in named and not _is_quick(item):
            left_out.add(item)
    if left_out:
        config.hook.pytest_deselected(items=[i for i in items if i in left_out])
        items[:] = [i for i in items if i not in left_out]


def _is_quick(item: pytest.Item) -> bool:
    """Tell whether a test runs in every run; of those that have a database, only on the embedded one."""
    on_server = isinstance(item, pytest.Function) and hasattr(item, "callspec") and "server" in item.callspec.id
    return item.get_closest_marker("quick") is not None and not on_server


@pytest.fixture(scope="session")
def kernels() -> None:
    """See that kernels are compiled, so that a start takes no longer than it does for a user's second."""
    fill = "from collector.kernel_cache import choose_folder, fill; choose_folder(); fill()"
    subprocess.run([sys.executable, "-c", fill], cwd=HERE.parents[1], check=True)


@pytest.fixture
def launch(tmp_path: Path, kernels: None, request: pytest.FixtureRequest) -> Iterator[Launch]:
    """Return the maker of collectors; it leaves no process behind, and puts on record how many kills they had."""
    made: list[Collector] = []
    with contextlib.ExitStack() as stack:

        def make(*, name: str = "collector", **options: Any) -> Collector:
            made.append(stack.enter_context(Collector(tmp_path / name, **options)))
            return made[-1]

        yield make
        request.node.user_properties.append(("kills", sum(c.kills for c in made)))


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the DSN of an empty database for a collector: once embedded in it, once on a server."""
    if request.param == "embedded":
        return f"chdb://{tmp_path}/db"
    return str(request.getfixturevalue("server_dsn"))
