"""Give as many malformed bodies as there is time for to both validators and to the decoder, and watch the memory.

    python -m tests.faults.hostile_inputs --seconds 40 --seed 1

Saved inputs of the fuzzer and small real bodies: each cut at each of its bytes, then each damaged anew for ever; random
bytes, odd wire, damaged JSON and gzip. What the kernel takes the library must take; what is taken must decode. Prints
a line of JSON.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from collector.decode import decode
from collector.decode.validate import validate
from collector.decode.validator import load_check
from collector.journal.record import Record
from collector.receivers.memory_guard import resident_bytes
from schema.errors import Refused
from tests.decode.hostile import damaged, request, seeded
from tests.fuzz.decode import real_bodies
from tests.fuzz.inputs import saved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from collector.decode.validate import Check, Encoding
    from schema.component import Signal

Input = tuple["Signal", bytes, "Encoding", bool]
AT_ONCE: Final = 500
"""Accepted bodies that are decoded together, as a batch of the journal is."""
WARM: Final = 20_000
"""Inputs before memory is looked at for the first time."""
JSON = json.dumps(
    {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "aa" * 16,
                                "spanId": "bb" * 8,
                                "startTimeUnixNano": "5",
                                "attributes": [{"key": "k", "value": {"arrayValue": {"values": [{"intValue": 1}]}}}],
                            }
                        ]
                    }
                ],
            }
        ]
    }
).encode()


def inputs(chance: Random) -> Iterator[Input]:
    """Yield inputs without end."""
    seeds = [*saved(), *((s, b) for s, b in real_bodies(60) if len(b) < 3000)]
    for signal, body in seeds:
        for end in range(len(body)):
            yield signal, body[:end], "protobuf", False
    packed = [(signal, gzip.compress(body)) for signal, body in seeds]
    for n in itertools.count():
        signal, body = seeds[n % len(seeds)]
        yield signal, damaged(body, chance), "protobuf", False
        if n % 4 == 0:
            yield signal, chance.randbytes(chance.randrange(60)), "protobuf", False
            yield "traces", damaged(JSON, chance), "json", False
        if n % 16 == 0:
            signal, body = packed[n % len(packed)]
            yield signal, damaged(body, chance), "protobuf", True
            yield "traces", request("traces", chance, odd=0.3), "protobuf", False


def verdict(item: Input, check: Check | None) -> Record | None:
    """Return what would be journalled, None where it is refused or nothing of it is left."""
    signal, body, encoding, packed = item
    try:
        valid = validate(body, signal, encoding=encoding, gzip=packed, check=check)
    except Refused:
        return None
    return Record(0, "t", signal, valid.encoding, valid.gzip, 1, bytes(valid.body)) if valid.accepted else None


def main() -> int:
    """Run until the time is up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    check = load_check()
    taken: list[Record] = []
    counts: Counter[str] = Counter()
    settled_bytes = 0
    end_s = time.monotonic() + arguments.seconds
    for n, item in enumerate(inputs(seeded(arguments.seed))):
        by_kernel = verdict(item, check)
        if n % 8 == 0:  # the other validator, which is slower, agrees
            assert (verdict(item, None) is None) == (by_kernel is None), item
            counts["compared"] += 1
        counts["taken" if by_kernel else "refused"] += 1
        if by_kernel:
            taken.append(by_kernel)
        if len(taken) == AT_ONCE:
            decode(taken)
            counts["decoded"] += len(taken)
            taken.clear()
        if n == WARM:
            settled_bytes = resident_bytes()
        if n % 256 == 0 and time.monotonic() > end_s:
            break
    decode(taken)
    growth = resident_bytes() - settled_bytes if settled_bytes else 0
    sys.stdout.write(json.dumps({**counts, "growth_bytes": growth}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
