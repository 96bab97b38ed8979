"""The harness of the fault tests: a real collector, a producer that remembers, one oracle.

    def test_something(launch: Launch) -> None:
        collector = launch().start()                       # embedded database; `launch(dsn=store)` for another
        with Producer(collector) as producer:              # threads that send and retry as an SDK does
            producer.until_acked(50)
            collector.kill()                               # kill -9
            collector.start()
            producer.until_acked(100)
        report = conserve(collector, producer)             # every acked span is stored once at read, or in quarantine

`Collector`  process.py   one process with its folder and its ports, which stay over restarts; kill, signals, log,
                          `status()`, `rows(sql)`; `start(failpoints="journal.before_sync=exit@3")` for one start
`Producer`   producer.py  claims ids, sends, remembers each acknowledged span with its payload
`conserve`   oracle.py    the quiet phase: every obligation is met, nothing twice, ready, a fresh span flows
`until`      waiting.py   wait for a condition, with a deadline
`heap.py`                 runs a program and writes what of its memory is in use

Fixtures (tests/faults/conftest.py): `launch` as above; `store`, the DSN of an empty database, once embedded and once on
a server. Each test has 60 s unless it is marked with another `timeout`. Marks:

    quick   runs in `make test` too, with `store` only embedded; all others only in `make faults`, or when their file
            is named on the command line
    alone   measures times: `make faults` runs nothing beside it

`record_property("figure", "…")` puts a figure into the summary of `make faults`. A test module begins with a line that
names the fault and three from which docs/reliability.md is made (`python tests/faults/table.py --write`):

    K1: kill -9 before the journal has the request.

    Injected: …
    Holds: …
    Figure: …
"""

from tests.faults.harness.oracle import Conserved, conserve
from tests.faults.harness.process import Collector, Launch
from tests.faults.harness.producer import Producer
from tests.faults.harness.waiting import until

__all__ = ["Collector", "Conserved", "Launch", "Producer", "conserve", "until"]
