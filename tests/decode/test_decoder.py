"""Which reading decodes when."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collector.decode import columns, decoder, kernels
from collector.decode.decoder import LIBRARY_BYTES, Decoder
from tests.decode.oracle import record
from tests.decode.requests import field, in_request
from tests.decode.test_span_batch import BODIES, record_of_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.journal.record import Record
    from schema.batch import SpanBatch

ROOT = Path(__file__).parents[2]
BODY = in_request(field(2, field(5, b"a name")))


def names(batch: SpanBatch) -> list[str]:
    found: list[str] = batch.name.to_pylist()
    return found


def test_the_library_decodes_while_kernels_are_loaded_and_they_afterwards() -> None:
    loaded, calls = threading.Event(), []

    def load() -> Any:
        loaded.wait(30)

        def decode(records: Sequence[Record]) -> SpanBatch:
            calls.append(len(records))
            return columns.decode(records)

        return decode

    decode = Decoder(load)
    thread = decode.warm_up()
    try:
        assert names(decode([record(BODY)])) == ["a name"]
        assert calls == []
    finally:
        loaded.set()
    thread.join(30)
    assert names(decode([record(BODY)])) == ["a name"]
    assert calls == [1]
    assert decode.warm_up() is thread, "once is enough"


def test_a_large_batch_waits_for_the_kernels_and_a_small_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, library = threading.Event(), []

    def load() -> Any:
        loaded.wait(30)
        return columns.decode

    def by_library(records: Sequence[Record]) -> SpanBatch:
        library.append(len(records))
        loaded.set()  # only what does not wait gets here before
        return columns.decode(records)

    monkeypatch.setattr("collector.decode.protobuf.decode", by_library)
    decode, large = Decoder(load), [record(in_request(field(2, field(5, b"n" * LIBRARY_BYTES))))]
    thread = decode.warm_up()
    waiting = threading.Thread(target=lambda: names(decode(large)))
    waiting.start()
    decode([record(BODY)])
    waiting.join(30)
    thread.join(30)
    assert library == [1]
    assert len(names(decode(large))[0]) == LIBRARY_BYTES


def test_the_library_decodes_where_kernels_cannot_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> Any:
        raise ModuleNotFoundError("No module named 'numba'")

    decode = Decoder(load)
    decode.warm_up().join(30)
    assert names(decode([record(BODY)])) == ["a name"]
    assert "No module named 'numba'" in caplog.text


def test_loading_compiles_all_there_is_to_compile() -> None:
    """Types of arguments are those of any batch: none is compiled while a batch waits."""
    decoder.load_kernels()
    columns.decode([record_of_file(path) for path in BODIES])
    columns.decode([record(BODY)])
    versions = {name: len(k.signatures) for name, k in vars(kernels).items() if hasattr(k, "signatures")}
    assert versions["read_spans"] == versions["read_bodies"] == versions["gather"] == 1
    assert max(versions.values()) == 1


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Decode one span in a process of its own, after `code`; numba looks for a cache folder only in ways that fail."""
    code += f"""
from collector.decode import decode
from collector.journal.record import Record
record = Record(0, "default", "traces", "protobuf", gzip=False, received_unix_ns=1, body={BODY!r})
print(decode([record]).name.to_pylist(), "numba" in sys.modules)
"""
    return subprocess.run(
        [sys.executable, "-c", "import sys\n" + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
        env={**os.environ, **environment},
    )


def test_without_numba_the_library_decodes() -> None:
    done = run_python("sys.modules['numba'] = None")
    assert done.stdout.split(maxsplit=2)[:2] == ["['a", "name']"]
    assert "no compiled kernels" in done.stderr


@pytest.mark.thorough
def test_without_a_folder_to_cache_in_the_kernels_are_compiled_for_this_process() -> None:
    """A read-only installation, and no home."""
    done = run_python("", NUMBA_CACHE_LOCATOR_CLASSES="IPythonCacheLocator")
    assert done.stdout == "['a name'] True\n"
    assert done.stderr == ""
