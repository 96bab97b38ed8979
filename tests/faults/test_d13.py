"""D13: two collectors on one journal, or on one embedded database.

Injected: a second collector is started on the folder of the first one's journal, and one on its database.
Holds: the second refuses to start within seconds, exits with 2 and names the process of the first; the first goes on,
and loses nothing.
Figure: 2 refusals, 0 requests lost by the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import Producer, conserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.harness import Launch


@pytest.mark.parametrize("shared", ["journal", "database"])
def test_the_second_refuses_and_the_first_is_unharmed(
    launch: Launch, shared: str, record_property: Callable[[str, object], None]
) -> None:
    first = launch(name="first").start()
    if shared == "journal":
        config = {"service": {"journal": {"directory": str(first.journal)}}}
        second = launch(name="second", config=config)
    else:
        second = launch(name="second", dsn=first.dsn)
    with Producer(first) as producer:
        producer.until_acked(5)
        second.start(wait=False)
        assert second.wait() == 2
        assert str(first.pid) in second.log
        assert "Stop that process" in second.log
        producer.until_acked(10)
    record_property("figure", str(conserve(first, producer)))
