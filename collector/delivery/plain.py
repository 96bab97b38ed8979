"""Requests as protobuf without compression, for exporters that take them as they came."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from collector.decode.inflate import gunzip
from collector.decode.protobuf import MAX_INFLATED_BYTES, parse
from collector.delivery.retry import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.delivery.halves import Bad
    from collector.journal import Record


def plain(records: Sequence[Record]) -> tuple[list[Record], list[Bad]]:
    """Return the records in protobuf, uncompressed, and those that cannot be read, each with the reason.

    A record that is plain already is not looked into.
    """
    good, bad = [], []
    for record in records:
        try:
            good.append(_plain(record))
        except Exception as e:  # noqa: BLE001 - damaged, or journalled by another version: it costs itself alone
            bad.append((record, say(e)))
    return good, bad


def _plain(record: Record) -> Record:
    if record.encoding == "json":
        return replace(record, encoding="protobuf", gzip=False, body=parse(record).SerializeToString())
    if record.gzip:
        return replace(record, gzip=False, body=bytes(gunzip(record.body, MAX_INFLATED_BYTES)))
    return record
