"""Large buffers are used again: asking for them a second time asks the kernel for nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow as pa
import pytest

PROGRAM = """
import resource, sys
from collector.memory import keep_memory
kept = keep_memory() if sys.argv[1] == "keep" else False
import pyarrow as pa

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    b"x" * SIZE
    b"".join([b"y" * (SIZE // 2)] * 2)

SIZE = 48 << 20
work()
before = faults()
for _ in range(5):
    work()
print(kept, faults() - before, pa.default_memory_pool().backend_name)
"""


def run(how: str, program: str = PROGRAM, **environment: str) -> list[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "ARROW_"))}
    done = subprocess.run(
        [sys.executable, "-c", program, how],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=plain | environment,
    )
    return done.stdout.split()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told")


def test_pages_are_asked_for_once_and_arrow_takes_part() -> None:
    kept, faults, pool = run("keep")
    if kept == "False":
        pytest.skip("the C library is not glibc")
    assert (int(faults) < 48 << 20 >> 12, pool) == (True, "system"), "less than for one buffer"
    assert int(run("leave")[1]) > 5 * (48 << 20 >> 12), "as it is without"


def test_who_has_told_the_allocator_something_else_is_left_alone() -> None:
    assert run("keep", MALLOC_ARENA_MAX="4")[0] == "False"


ARROW_FIRST = """
import pyarrow as pa
from collector.memory import keep_memory
kept = keep_memory()
before = pa.system_memory_pool().bytes_allocated()
held = pa.array(range(100_000))
print(kept, pa.default_memory_pool().backend_name, pa.system_memory_pool().bytes_allocated() - before >= 800_000)
"""


def test_arrow_takes_part_when_it_was_imported_before() -> None:
    kept, pool, taken = run("keep", ARROW_FIRST)
    if kept == "False":
        pytest.skip("the C library is not glibc")
    assert (pool, taken) == ("system", "True")


@pytest.mark.skipif("mimalloc" not in pa.supported_memory_backends(), reason="this Arrow has no other allocator")
def test_who_has_chosen_an_allocator_for_arrow_keeps_it() -> None:
    assert run("keep", ARROW_FIRST, ARROW_DEFAULT_MEMORY_POOL="mimalloc")[1] == "mimalloc"


def test_arrow_does_not_import_pandas_and_whoever_wants_it_can() -> None:
    program = """
import sys, types
from importlib.machinery import ModuleSpec
imported = []

class Finder:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "pandas" else None

    def create_module(self, spec):
        imported.append(spec.name)

    def exec_module(self, module):
        module.__version__ = "0.0"

sys.meta_path.insert(0, Finder())
import clickhouse_connect
from clickhouse_connect.driver import options
if sys.argv[1] == "forget":
    from collector.memory import forget_pandas
    forget_pandas()
import pyarrow as pa, pyarrow.compute as pc
try:
    options.pd and options.pd.DataFrame
except Exception:
    pass
try:
    pa.array(["text"])
    pc.fill_null(pa.array([None, "text"]), "nothing")
except Exception:
    pass  # this pandas is a poor one
print(imported)
import pandas
print(pandas.__version__)
"""

    def run(how: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, how],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.splitlines()

    assert run("forget") == ["[]", "0.0"]
    assert "['pandas']" in run("leave"), "as it is without"


def test_numba_does_not_import_linear_algebra_and_whoever_wants_it_can() -> None:
    program = """
import sys
from collector.memory import forget_scipy
if sys.argv[1] == "forget":
    forget_scipy()
import numba, numpy as np
doubled = numba.njit(lambda a: a * 2)(np.ones(3)).sum()
print("scipy.linalg" in sys.modules, doubled)
import scipy.linalg
print(scipy.linalg.det(np.eye(2)), numba.njit(lambda a: np.dot(a, a))(np.ones(2)))
"""
    assert run("forget", program) == ["False", "6.0", "1.0", "2.0"]
    assert run("leave", program)[0] == "True", "as it is without"
