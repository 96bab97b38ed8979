"""One request of ClickHouse's HTTP interface, read: statement, parameters, settings, formats.

Source: https://clickhouse.com/docs/interfaces/http
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import lz4.frame

from collector.decode.inflate import gunzip
from collector.extensions.clickhouse_http.answer_format import ending_format, has_answer
from schema.errors import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRANSPORT = frozenset(
    {
        "add_http_cors_header",
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_zlib_compression_level",
        "log_queries",
        "password",
        "query",
        "query_id",
        "quota_key",
        "readonly",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    }
)
"""What the interface takes for itself, or what has no meaning here: there are no sessions, roles or quotas, the answer
is always complete before it is sent, and Native blocks have the oldest revision, which every client reads."""

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
DEFAULT_FORMAT = "TabSeparated"

CONTENT_TYPES = (
    (re.compile(r"JSON.*EachRow.*|NDJSON|JSONLines|JSONCompactEachRow.*"), "application/x-ndjson; charset=UTF-8"),
    (re.compile(r"JSON.*"), "application/json; charset=UTF-8"),
    (re.compile(r"CSV.*"), "text/csv; charset=UTF-8; header=absent"),
    (re.compile(r"(TabSeparated|TSV).*"), "text/tab-separated-values; charset=UTF-8"),
    (re.compile(r"(Pretty|Vertical|Markdown|XML|Values).*"), "text/plain; charset=UTF-8"),
)
NATIVE = "Native"
MAX_LZ4_FRAMES = 64
"""Of one body; a client writes one. Each costs a copy of what follows it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a request asks the engine."""

    text: str | bytes = field(repr=False)
    """Bytes for an INSERT: its data follow the statement as they came."""
    format: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    database: str | None

    @property
    def answer_format(self) -> str | None:
        """Return the format of the answer: that of the statement, else the default; None where there is no result."""
        if isinstance(self.text, bytes) or not has_answer(self.text):
            return None
        match = ending_format(self.text)
        return match[1] if match else self.format

    def without_format(self, text: str) -> str:
        """Return the statement without its FORMAT clause: another statement, to be checked as one."""
        match = ending_format(text)
        return f"{text[: match.start()]} {text[match.end(1) :]}" if match else text


def read_statement(url: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Statement:
    """Put together what ClickHouse puts together: `query` of the URL, then the body.

    Raises:
        Refused: BAD_DATA, saying what is wrong.

    """
    start = url.get("query", "").encode("utf-8")
    whole = start + b"\n" + body if start and body else start or body
    text: str | bytes = whole
    if whole.lstrip()[:6].upper() != b"INSERT":
        try:
            text = whole.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(Reason.BAD_DATA, "the statement is not UTF-8; data may follow only an INSERT") from None
    form = url.get("default_format") or headers.get("x-clickhouse-format") or DEFAULT_FORMAT
    if not WORD.fullmatch(form):
        raise Refused(Reason.BAD_DATA, f"{form[:40]!r} is not the name of a format")
    return Statement(
        text=text,
        format=form,
        parameters={k.removeprefix("param_"): v for k, v in url.items() if k.startswith("param_")},
        settings={k: v for k, v in url.items() if k not in TRANSPORT and not k.startswith("param_")},
        database=url.get("database") or headers.get("x-clickhouse-database") or None,
    )


def empty_native_block(columns: Sequence[tuple[str, str]]) -> bytes:
    """Return a Native block of no rows: what a server answers where chdb answers nothing, and clients read names from.

    varint number of columns | varint 0 | per column: varint length, name; varint length, type
    """
    block = _varint(len(columns)) + _varint(0)
    for texts in columns:
        block += b"".join(_varint(len(raw)) + raw for raw in (t.encode("utf-8") for t in texts))
    return block


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_body(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """Undo the Content-Encoding of a request.

    Raises:
        Refused: TOO_LARGE beyond the limit, BAD_DATA, or UNSUPPORTED_MEDIA_TYPE for another coding.

    """
    match coding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return gunzip(body, limit_bytes)
        case "deflate":
            return _inflate(body, limit_bytes)
        case "lz4":
            return _unlz4(body, limit_bytes)
    raise Refused(Reason.UNSUPPORTED_MEDIA_TYPE, "send Content-Encoding gzip, deflate, lz4, or none")


def encode_answer(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """Return the answer in the first coding the client accepts that we have, and its name."""
    names = [
        part.split(";")[0].strip().lower() for part in accepted.split(",") if "q=0" not in part.replace("q=0.", "")
    ]
    for name in names:
        if name == "gzip":
            stream = zlib.compressobj(3, wbits=16 + zlib.MAX_WBITS)
            return stream.compress(body) + stream.flush(), name
        if name == "deflate":
            return zlib.compress(body, 3), name
        if name == "lz4":
            return lz4.frame.compress(body), name
    return body, None


def content_type(form: str | None) -> str:
    """Return the media type of a ClickHouse format."""
    if form is None:
        return "text/plain; charset=UTF-8"
    return next((kind for pattern, kind in CONTENT_TYPES if pattern.fullmatch(form)), "application/octet-stream")


def _inflate(body: bytes, limit_bytes: int) -> bytes:
    stream: Any = zlib.decompressobj()
    try:
        out: bytes = stream.decompress(body, limit_bytes + 1)
    except zlib.error as e:
        raise Refused(Reason.BAD_DATA, f"the body is not valid deflate: {e}") from None
    _within(len(out), limit_bytes)
    if not stream.eof:
        raise Refused(Reason.BAD_DATA, "the deflate body ends before its end marker")
    return out


def _unlz4(body: bytes, limit_bytes: int) -> bytes:
    out: list[bytes] = []
    size, rest = 0, body
    for _ in range(MAX_LZ4_FRAMES):
        stream = lz4.frame.LZ4FrameDecompressor()
        try:
            piece: bytes = stream.decompress(rest, max_length=limit_bytes - size + 1)
        except RuntimeError as e:
            raise Refused(Reason.BAD_DATA, f"the body is not valid lz4: {e}") from None
        size += len(piece)
        _within(size, limit_bytes)
        if not stream.eof:
            raise Refused(Reason.BAD_DATA, "the lz4 body ends before its end mark")
        out.append(piece)
        rest = stream.unused_data or b""
        if not rest:
            return b"".join(out)
    raise Refused(Reason.TOO_LARGE, f"the body has more than {MAX_LZ4_FRAMES} lz4 frames")


def _within(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise Refused(Reason.TOO_LARGE, f"the body is larger than {limit_bytes} bytes; send less at once")
