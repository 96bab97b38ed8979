"""The kernels beside the protobuf library: whatever the records are, both give the same columns or the same refusal."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from collector.decode import columns, protobuf
from collector.decode.check import Checker
from collector.decode.validate import DEFAULT_LIMITS, validate
from collector.journal.record import Record
from schema.batch import AttributeTable
from schema.errors import Refused
from tests.decode.batches import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.decode.validate import Limits
    from schema.batch import SpanBatch
    from schema.component import Signal


def record(body: bytes, signal: Signal = "traces", *, sequence: int = 0) -> Record:
    return Record(sequence, "default", signal, "protobuf", gzip=False, received_unix_ns=1, body=body)


def assert_same(records: Sequence[Record]) -> None:
    """Decode by both and compare every column."""
    expected, got = outcome(protobuf.decode, records), outcome(columns.decode, records)
    if isinstance(expected, str) or isinstance(got, str):
        assert got == expected
    else:
        assert list(differences(got, expected)) == []


def assert_checked(body: bytes, signal: Signal, limits: Limits = DEFAULT_LIMITS) -> int | None:
    """Whatever the kernel takes, the library takes whole and counts the same. Return what the kernel says."""
    members = Checker()(body, signal, limits)
    if members is not None:
        valid = validate(body, signal, encoding="protobuf", gzip=False, limits=limits)
        assert (valid.accepted, valid.refused, valid.body) == (members, 0, body)
    return members


def outcome(decode: Any, records: Sequence[Record]) -> SpanBatch | str:
    try:
        batch: SpanBatch = decode(records)
    except Refused as e:
        return f"{e.reason}: {e}"
    return batch


def differences(got: Any, expected: Any, path: str = "") -> Iterator[str]:
    """Yield the columns of two batches that differ, and how. Where values lie in the buffer may differ."""
    if isinstance(expected, AttributeTable):
        yield from _table_differences(got, expected, path)
    elif is_dataclass(expected):
        for one in fields(expected):
            yield from differences(getattr(got, one.name), getattr(expected, one.name), f"{path}.{one.name}")
    elif isinstance(expected, np.ndarray):
        if got.dtype != expected.dtype or got.shape != expected.shape or not np.array_equal(got, expected):
            yield f"{path}: {got.dtype}{got.shape} {got!r} is not {expected.dtype}{expected.shape} {expected!r}"
    elif isinstance(expected, pa.Array):
        got.validate(full=True)
        if not got.equals(expected):
            yield f"{path}: {got} is not {expected}"
    elif got != expected:
        yield f"{path}: {got!r} is not {expected!r}"


def _table_differences(got: AttributeTable, expected: AttributeTable, path: str) -> Iterator[str]:
    for name in ("owner", "key", "type", "number", "keys"):
        yield from differences(getattr(got, name), getattr(expected, name), f"{path}.{name}")
    for table in (got, expected):
        assert {len(table.start), len(table.length)} == {len(table)}
        assert ((table.start + table.length) <= len(table.buffer)).all()
        assert (table.start[table.length == 0] == 0).all()
    if len(got) == len(expected):
        for row in range(len(expected)):
            one, other = plain(got.value(row)), plain(expected.value(row))
            if one != other:
                yield f"{path}[{row}]: {one!r} is not {other!r}"
