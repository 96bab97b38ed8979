"""C10: the process of an embedded database is killed in a merge; its folder is copied while it runs.

Injected: SIGKILL at a random moment while blocks are inserted and merged; and a copy of the folder, taken while blocks
are inserted and merges are stopped (`SYSTEM STOP MERGES`: else a part may go while it is copied).
Holds: the database opens again with every block that was acknowledged, whole and once; so does the copy, with what was
acknowledged before it was begun.
Figure: kills, blocks.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
KILLS = 3
ROWS = 20
WRITER = f"""
import sys, threading
from collector.decode import decode
from exporters.clickhouse.connect import connect
from exporters.clickhouse.insert import insert_batch
from exporters.clickhouse.migrate import migrate
from tests.faults.delivering import record
db = connect(sys.argv[1])
migrate(db)
first = int(sys.argv[2])
def merge():
    while True:
        db.command("OPTIMIZE TABLE spans FINAL")
if sys.argv[3] == "merge":
    threading.Thread(target=merge, daemon=True).start()
else:
    db.command("SYSTEM STOP MERGES")
for i in range(first, first + 10_000):
    insert_batch(db, decode([record(i * {ROWS} + 1, {ROWS})]), f"b{{i}}")
    print(i, flush=True)
"""
READER = """
import json, sys
from exporters.clickhouse.connect import connect
with connect(sys.argv[1]) as db:
    print(json.dumps(db.rows("SELECT count() AS n, uniqExact(span_id) AS ids FROM spans")[0]))
    print(json.dumps(db.rows(
        "SELECT sum(span_count) AS n, (SELECT sum(count) FROM ledger) AS booked FROM traces")[0]))
"""


def read(folder: Path) -> tuple[int, int, int, int]:
    """Return rows, distinct ids, spans of traces and spans in the ledger."""
    out = subprocess.run(
        [sys.executable, "-c", READER, f"chdb://{folder}"], check=False, cwd=ROOT, capture_output=True, timeout=60
    )
    assert out.returncode == 0, out.stderr.decode()[-3000:]
    one, two = (json.loads(line) for line in out.stdout.splitlines())
    return int(one["n"]), int(one["ids"]), int(two["n"]), int(two["booked"])


def test_an_embedded_database_survives_kills_in_merges_and_copies(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    acked, sent = 0, 0
    copied = 0
    for kill in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, f"chdb://{tmp_path}/db", str(sent), "copy" if kill == 1 else "merge"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        for _ in range(random.randint(3, 10)):  # noqa: S311 - a moment
            assert writer.stdout.readline()
            acked += 1
        if kill == 1:
            copied = acked
            shutil.copytree(
                tmp_path / "db",
                tmp_path / "copy",
                symlinks=True,
                ignore=shutil.ignore_patterns("tmp_*", "status"),
                copy_function=copy_if_there,
            )
        writer.kill()
        rest = writer.communicate(timeout=30)[0].splitlines()
        acked += len(rest)
        sent += 10_000
    n, ids, of_traces, booked = read(tmp_path / "db")
    assert acked * ROWS <= n <= (acked + KILLS) * ROWS
    assert n == ids
    assert acked * ROWS <= booked <= of_traces <= n, "what was cut off in the middle is sent again by its journal"
    n, ids, of_traces, _ = read(tmp_path / "copy")
    assert n == ids
    assert n >= copied * ROWS
    record_property("figure", f"{KILLS} kills, {acked} blocks acknowledged, {acked * ROWS} rows there, none twice")


def copy_if_there(source: str, target: str) -> str:
    """Copy a file, unless a merge removed it meanwhile."""
    try:
        return str(shutil.copy2(source, target))
    except FileNotFoundError:
        return target
