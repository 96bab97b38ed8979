"""Fuzz the kernels guided by coverage: uncompiled, every branch of their source is seen by atheris.

    pip install atheris
    NUMBA_DISABLE_JIT=1 python -m tests.fuzz.coverage tests/fuzz/corpus -max_total_time=300

The first byte chooses the signal, the rest is the body. libFuzzer keeps in the folder what reached something new; what
differs from the protobuf library it writes to crash-<hash>. `python -m tests.fuzz.coverage FILE` runs one again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.fuzz.inputs import SIGNALS, split


def seeds() -> list[bytes]:
    """Return inputs to begin with: small real bodies, and odd ones."""
    from tests.decode.hostile import request, seeded  # noqa: PLC0415 - after instrumentation
    from tests.fuzz.decode import real_bodies  # noqa: PLC0415 - as above

    real = [(signal, body) for signal, body in real_bodies(None) if len(body) < 2048]
    made = [(s, request(s, seeded(i), odd=0.3)) for i in range(40) for s in SIGNALS]
    return [bytes((SIGNALS.index(signal),)) + body for signal, body in [*real, *made]]


def main() -> None:
    """Hand over to libFuzzer."""
    try:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415 - not a dependency
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with atheris.instrument_imports(include=["collector.decode.kernels", "collector.decode.columns"]):
        from tests.decode.oracle import assert_checked, assert_same, record  # noqa: PLC0415 - only now, so that it is instrumented

    def one(data: bytes) -> None:
        signal, body = split(data)
        assert_same([record(body, signal)])
        assert_checked(body, signal)

    folder = next((Path(a) for a in sys.argv[1:] if not a.startswith("-")), None)
    if folder is not None and not folder.exists():
        folder.mkdir(parents=True)
        for i, seed in enumerate(seeds()):
            (folder / f"seed-{i}").write_bytes(seed)
    setup: Any = atheris.Setup
    setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
