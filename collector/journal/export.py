"""Requests out of a journal, as OTLP, to be sent elsewhere. Nothing is changed; damage is stepped over and said."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from google.protobuf.json_format import MessageToDict

from collector.decode.protobuf import parse
from collector.journal import lock
from collector.journal.layout import RawRecord
from collector.journal.scan import Damage
from collector.journal.segment import find_segments, read_segment
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from collector.journal.fs import Fs
    from collector.journal.record import Record
    from collector.journal.scan import Tail

Format = Literal["otlp-json", "otlp-protobuf"]
IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
ENDINGS: Final = {"otlp-json": "json", "otlp-protobuf": "pb"}


def records(
    fs: Fs,
    directory: Path,
    *,
    first: int = 1,
    last: int | None = None,
    tenant: str | None = None,
    on_damage: Callable[[str], object] = bool,
) -> Iterator[Record]:
    """Yield the requests with sequences from `first` to `last` of one tenant or all, as long as the files are there.

    Raises:
        ConfigError: there is no journal, or one of another format.
        OSError: the disk does not give it.

    """
    if not directory.is_dir():
        raise ConfigError(f"there is no journal in {directory}; name its folder with --directory, or --config FILE")
    files = find_segments(fs, directory)
    owned = lock.owner(directory) is not None  # then a record may be half written
    known = next((f.journal_id for f in files if f.journal_id is not None), None)
    for i, file in enumerate(files):
        before = files[i + 1].segment.first_sequence if i + 1 < len(files) else None
        if known is None or (before is not None and before <= first):
            continue
        if last is not None and file.segment.first_sequence > last:
            return
        segment = file.segment
        try:
            items = read_segment(
                fs, segment, file.journal_id or known, sequence=segment.first_sequence, offset=0, before=before
            )
            if before is None and owned:
                items = _written_before(items)
            damage: list[str] = []
            for item in items:
                if isinstance(item, RawRecord):
                    if item.sequence >= first and (last is None or item.sequence <= last):
                        record = item.request()
                        if record is not None and (tenant is None or record.tenant == tenant):
                            yield record
                elif isinstance(item, Damage) or item.how == "torn":
                    damage.append(f"{segment.path.name} at byte {item.offset}: {item.message}")
            gone = not segment.path.exists()
        except FileNotFoundError:
            gone = True
        # What was delivered and written over while it was read is no damage.
        for what in [f"{segment.path.name}: delivered and removed meanwhile"] if gone else damage:
            on_damage(what)


def _written_before(items: Iterator[RawRecord | Damage | Tail]) -> Iterator[RawRecord | Damage | Tail]:
    """Yield what stands in a segment that is being written, up to where the writer is."""
    for item in items:
        # It was written while it was read, or is damaged: whoever reads it when it is whole knows.
        if not isinstance(item, RawRecord):
            return
        yield item


def encode(record: Record, form: Format) -> bytes:
    """Return the OTLP request of a record, inflated, in one encoding.

    Raises:
        Refused: it is no OTLP request.

    """
    message = parse(record)
    if form == "otlp-protobuf":
        data: bytes = message.SerializeToString()
        return data
    return orjson.dumps(_hex_ids(MessageToDict(message, use_integers_for_enums=True)))


def file_name(record: Record, form: Format) -> str:
    """Return a name that is the same for the same record, and says what is in it."""
    return f"{record.sequence:016d}.{record.signal}.{ENDINGS[form]}"


def framed(data: bytes) -> bytes:
    """Return a request with its length before it, u32 big-endian, as the OpenTelemetry file exporter writes them."""
    return len(data).to_bytes(4, "big") + data


def _hex_ids(value: Any) -> Any:
    """Return a message as OTLP/JSON has it: ids in hex, where the mapping of protobuf says base64.

    Keys are names of fields, never of attributes: those are values of `key`.
    """
    if isinstance(value, dict):
        return {
            k: base64.b64decode(v).hex() if k in IDS and isinstance(v, str) else _hex_ids(v) for k, v in value.items()
        }
    return [_hex_ids(v) for v in value] if isinstance(value, list) else value
