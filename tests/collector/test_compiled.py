"""Processors use kernels once they are compiled, not before, and do without where they cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from collector.decode import Decoder, columns
from collector.processors import compiled

if TYPE_CHECKING:
    import pytest

    from collector.decode.decoder import Decode

ROOT = Path(__file__).parents[2]


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
        env={**os.environ, **environment},
    )
    return done.stdout.strip()


NORMALISE = """
import sys
from collector.processors import compiled
from collector.processors.failure import with_failures
from collector.processors.normalise import canonical
from collector.processors.normalise.warm import sample
def columns():
    return {k: c.to_pylist() for k, c in with_failures(canonical(sample())).columns.items()}
"""


def test_nothing_is_compiled_by_the_way() -> None:
    assert run_python(NORMALISE + "columns(); print(compiled.are_ready(), 'numba' in sys.modules)") == "False False"


def test_loading_changes_the_way_and_not_the_result() -> None:
    code = "before = columns(); compiled.load(); print(compiled.are_ready(), columns() == before)"
    assert run_python(NORMALISE + code) == "True True"


def test_the_kernels_run_as_plain_python() -> None:
    code = "before = columns(); compiled.load(); print(compiled.are_ready(), columns() == before)"
    assert run_python(NORMALISE + code, NUMBA_DISABLE_JIT="1") == "True True"


def test_kernels_that_cannot_be_loaded_leave_the_decoder_its_own(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Decode:
        return columns.decode

    def fail() -> None:
        raise RuntimeError("no LLVM here")

    decode = Decoder(load, also_load=fail)
    decode.warm_up().join(30)
    assert len(decode([])) == 0
    assert "no LLVM here" in caplog.text


def test_are_ready_is_false_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.load.cache_clear()
    monkeypatch.setitem(sys.modules, "collector.processors.normalise.warm", None)
    decode = Decoder(lambda: columns.decode, also_load=compiled.load)
    decode.warm_up().join(30)
    assert not compiled.are_ready()
