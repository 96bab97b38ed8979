r"""The bytes of the journal on disk.  All integers are little-endian; a record never crosses a segment.

A segment is a file `<sequence of the segment>-<sequence of its first record>.seg`, 16 digits each, so that a damaged
segment header costs nothing:

    segment header, 64 bytes
      0 |magic "EGWAL\0\0\1"                     8|
      8 |version u16|header length u16|0 u32      |
     16 |journal id                             16|
     32 |sequence of the segment u64              |
     40 |sequence of its first record u64         |
     48 |created, Unix nanoseconds u64            |
     56 |0 u32|crc32c of bytes 0..59 u32          |
    record, 32 bytes and its content
      0 |crc32c u32|body length u32               |   the crc covers everything after itself, and begins from
      8 |sequence u64                             |   the crc of journal id + segment sequence: bytes of another
     16 |type u8|flags u8|tenant length u16       |   segment, or a record forged inside a body, do not verify
     20 |received, Unix nanoseconds u64           |
     28 |members u32: spans or log records in the body, as the receiver counted them|
     32 |tenant, UTF-8|body, as the sender sent it|
    trailer of a sealed segment: a record of type 255, tenant empty, sequence = that of the next record, body:
      0 |records in the segment u64|crc32c over their crc fields, in order, u32|

    type    1 an OTLP request; 2 one for a single reader: before the tenant stand its length u8 and its name, UTF-8;
            others are kept for later versions
    flags   bits 0-1 signal: 0 traces, 1 logs;  bit 2: JSON, else protobuf;  bit 3: the body is gzip;  bits 4-7 zero

Invariants
  * Sequences are dense: from 1 on, every record has its predecessor's plus one, across segments. A gap is a loss.
  * A record whose sequence is not below the first sequence of the next segment was never acknowledged (its write
    failed and the sender was told so): it is not read.
  * Behind the last record of a segment that is not sealed stand zeros, 32 at least unless the file ends before: they
    are written with it. What stands behind those is of no meaning: a segment is written over one that was delivered,
    and nothing of that one verifies in this one.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import google_crc32c
import numpy as np

from collector.journal.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.component import Signal

MAGIC: Final = b"EGWAL\0\0\1"
VERSION: Final = 2
HEADER: Final = struct.Struct("<8sHHI16sQQQII")
HEADER_BYTES: Final = 64
RECORD: Final = struct.Struct("<IIQBBHQI")
RECORD_BYTES: Final = 32
AFTER_CRC: Final = struct.Struct("<IQBBHQI")
TRAILER: Final = struct.Struct("<QI")
TRAILER_BYTES: Final = RECORD_BYTES + TRAILER.size

TYPE_REQUEST: Final = 1
TYPE_ADDRESSED: Final = 2
TYPE_TRAILER: Final = 255

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs")
FLAG_JSON: Final = 1 << 2
FLAG_GZIP: Final = 1 << 3
KNOWN_FLAGS: Final = 0b1111


Buffer: TypeAlias = bytes | memoryview


def crc32c(data: Buffer, crc: int = 0) -> int:
    """Return the Castagnoli CRC, going on from `crc`: 0.03 ns a byte (measured)."""
    # The library takes bytes and, of all else, NumPy's arrays.
    extended: int = google_crc32c.extend(crc, data if isinstance(data, bytes) else np.frombuffer(data, np.uint8))
    return extended


def seed(journal_id: bytes, segment: int) -> int:
    """Return what every record crc of a segment begins from."""
    return crc32c(struct.pack("<16sQ", journal_id, segment))


NAME: Final = re.compile(r"(\d{16})-(\d{16})\.seg")


def segment_name(segment: int, first_sequence: int) -> str:
    """Return the file name of a segment."""
    return f"{segment:016d}-{first_sequence:016d}.seg"


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first 64 bytes of a segment."""

    journal_id: bytes
    segment: int
    first_sequence: int
    created_unix_ns: int

    def pack(self) -> bytes:
        """Return the bytes."""
        head = HEADER.pack(
            MAGIC,
            VERSION,
            HEADER_BYTES,
            0,
            self.journal_id,
            self.segment,
            self.first_sequence,
            self.created_unix_ns,
            0,
            0,
        )[:-4]
        return head + struct.pack("<I", crc32c(head))


class UnknownVersion(ValueError):
    """The segment is whole, but of a format this program does not read."""


def unpack_header(data: bytes) -> SegmentHeader:
    """Read a segment header.

    Raises:
        UnknownVersion: written by another version of this program.
        ValueError: not a segment header, or damaged.

    """
    if len(data) < HEADER_BYTES:
        raise ValueError("the file is shorter than a segment header")
    magic, version, _, _, journal_id, segment, first, created, _, crc = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError("the file does not begin with the journal's magic bytes")
    if crc != crc32c(data[: HEADER_BYTES - 4]):
        raise ValueError("the segment header fails its checksum")
    if version != VERSION:
        raise UnknownVersion(f"the journal was written in format {version}; this program reads format {VERSION}")
    return SegmentHeader(journal_id, segment, first, created)


def pack_flags(signal: Signal, encoding: Literal["protobuf", "json"], *, gzip: bool) -> int:
    """Return the flags byte."""
    return SIGNALS.index(signal) | (FLAG_JSON if encoding == "json" else 0) | (FLAG_GZIP if gzip else 0)


def pack_record(
    sequence: int, kind: int, flags: int, *, tenant: bytes, received_unix_ns: int, members: int, body: Buffer, seed: int
) -> tuple[bytes, int]:
    """Return header and tenant, to be followed by the body, and the record's crc."""
    rest = AFTER_CRC.pack(len(body), sequence, kind, flags, len(tenant), received_unix_ns, members) + tenant
    crc = crc32c(body, crc32c(rest, seed))
    return struct.pack("<I", crc) + rest, crc


def pack_trailer(next_sequence: int, count: int, crc_of_crcs: int, *, seed: int) -> bytes:
    """Return the record that seals a segment."""
    body = TRAILER.pack(count, crc_of_crcs)
    head, _ = pack_record(
        next_sequence, TYPE_TRAILER, 0, tenant=b"", received_unix_ns=0, members=0, body=body, seed=seed
    )
    return head + body


def pack_address(reader: str, tenant: bytes) -> bytes:
    """Return what stands for the tenant in a record for one reader.

    Raises:
        ValueError: the name has more than 255 bytes.

    """
    name = reader.encode()
    return bytes((len(name),)) + name + tenant


def unpack_address(field: bytes) -> tuple[bytes, bytes]:
    """Return reader and tenant."""
    end = 1 + field[0] if field else 0
    return field[1:end], field[end:]


class RawRecord(NamedTuple):
    """A record whose crc verified, wherever in a segment it lies: bytes `offset` to `end` of the file."""

    offset: int
    end: int
    crc: int
    sequence: int
    kind: int
    flags: int
    tenant: bytes
    received_unix_ns: int
    members: int
    source: bytes
    """What was read of the file; the record lies in it, and its body last."""
    body_start: int
    body_end: int
    reader: bytes | None = None
    """The only reader that it is for; None: it is for all."""

    @property
    def body(self) -> bytes:
        """A copy of the body."""
        return self.source[self.body_start : self.body_end]

    @property
    def raw_body(self) -> memoryview:
        """The body, not copied."""
        return memoryview(self.source)[self.body_start : self.body_end]

    @property
    def head(self) -> bytes:
        """All that stands before the body on disk, the checksum first: that covers the body as well."""
        return self.source[self.body_end - self.end + self.offset : self.body_start]

    @property
    def is_known(self) -> bool:
        """Whether it is of a type and flags that this version knows."""
        return (
            self.kind in (TYPE_REQUEST, TYPE_ADDRESSED)
            and self.flags & 0b11 < len(SIGNALS)
            and not self.flags & ~KNOWN_FLAGS
        )

    def request(self) -> Record | None:
        """Return the OTLP request it holds, or None when it is of a type or flags that this version does not know."""
        if not self.is_known:
            return None
        return Record(
            sequence=self.sequence,
            tenant=self.tenant.decode("utf-8", "replace"),
            signal=SIGNALS[self.flags & 0b11],
            encoding="json" if self.flags & FLAG_JSON else "protobuf",
            gzip=bool(self.flags & FLAG_GZIP),
            received_unix_ns=self.received_unix_ns,
            body=self.body,
            members=self.members,
        )


def pack_request(record: Record, *, seed: int) -> tuple[bytes, int]:
    """Return all bytes of one request as a record, and its crc."""
    head, crc = pack_record(
        record.sequence,
        TYPE_REQUEST,
        pack_flags(record.signal, record.encoding, gzip=record.gzip),
        tenant=record.tenant.encode(),
        received_unix_ns=record.received_unix_ns,
        members=record.members,
        body=record.body,
        seed=seed,
    )
    return head + record.body, crc


def pack_segment(journal_id: bytes, segment: int, created_unix_ns: int, records: Sequence[Record]) -> bytes:
    """Return a whole sealed segment of these records, for files that are written at once."""
    start = seed(journal_id, segment)
    first = records[0].sequence
    pieces = [SegmentHeader(journal_id, segment, first, created_unix_ns).pack()]
    crc_of_crcs = 0
    for record in records:
        data, crc = pack_request(record, seed=start)
        pieces.append(data)
        crc_of_crcs = crc32c(struct.pack("<I", crc), crc_of_crcs)
    pieces.append(pack_trailer(records[-1].sequence + 1, len(records), crc_of_crcs, seed=start))
    return b"".join(pieces)
