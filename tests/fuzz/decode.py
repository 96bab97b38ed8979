"""Fuzz the kernels against the protobuf library for as long as you like.

    python -m tests.fuzz.decode [--seconds 60] [--seed 1] [--files N]

Makes odd requests and damages real ones, from a seed; the saved ones of tests/fuzz/corpus come first. What differs is
written there, named by the hash of its bytes, and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.decode.hostile import damaged, request, seeded
from tests.decode.oracle import assert_checked, assert_same, record
from tests.fuzz.inputs import save, saved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schema.component import Signal

REAL = Path(__file__).parents[1] / "corpus"


def real_bodies(files: int | None) -> Iterator[tuple[Signal, bytes]]:
    """Yield the real protobuf bodies, the smallest first, so many or all."""
    for path in sorted(REAL.rglob("*.otlp.pb"), key=lambda p: p.stat().st_size)[:files]:
        yield "logs" if ".logs." in path.name else "traces", path.read_bytes()


def bodies(seed: int, files: int | None) -> Iterator[tuple[Signal, bytes]]:
    """Yield saved, then real bodies, then new ones without end."""
    seeds = [*saved(), *real_bodies(files)]
    yield from seeds
    chance = seeded(seed)
    while True:
        signal: Signal = chance.choice(("traces", "logs"))
        yield signal, request(signal, chance, odd=chance.choice((0, 0.1, 0.5)))
        signal, body = chance.choice(seeds)
        yield signal, damaged(body, chance)


def main() -> int:
    """Run; print how many bodies were compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, help="of the real bodies only the smallest")
    arguments = parser.parse_args()
    until, n = 0.0, 0
    for signal, body in bodies(arguments.seed, arguments.files):
        try:
            assert_same([record(body, signal)])
            assert_checked(body, signal)
        except BaseException:
            sys.stdout.write(f"differs: {save(signal, body)}\n")
            raise
        until = until or time.monotonic() + arguments.seconds  # the first call compiles
        n += 1
        if time.monotonic() > until:
            break
    sys.stdout.write(f"{n} bodies are read or refused as by the library\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
