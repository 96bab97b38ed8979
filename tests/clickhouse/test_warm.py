from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
from exporters.clickhouse import kernels, quoted
from exporters.clickhouse.native import encode
from exporters.clickhouse.rows import blocks
from exporters.clickhouse.warm import run_all
from tests.clickhouse.otlp import batch_of, span, spans_record

def compiled():
    every = [f for module in (kernels, quoted) for f in vars(module).values() if hasattr(f, "signatures")]
    return {f.__name__: len(f.signatures) for f in every if f.signatures}

run_all()
ready = compiled()

many = {f"k{i}": i for i in range(99)} | {"t": "text", "d": 0.5, "l": ["x"], "b": True}
for attributes in ({}, {"a": "b"}, many):
    batch = batch_of(spans_record([span(1, i + 1, attributes=attributes) for i in range(3)]))
    for block in blocks(batch):
        list(encode(block.rows))
assert compiled() == ready, (ready, compiled())
print(len(ready))
"""


def test_after_the_warm_up_no_batch_compiles_anything() -> None:
    # Inlined functions are compiled with their callers, and have signatures only where nothing was kept on disk: a
    # first process fills the cache.
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 9
