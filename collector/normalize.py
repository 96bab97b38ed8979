"""The command `evalgate normalize`: what would you make of this payload.

Prints the document `normalized/1` (docs/normalized.md) for OTLP bodies as they came from the wire: protobuf or JSON,
gzipped or not, traces or logs. What a body is, its content tells; a name that says it (".json", ".logs.") is believed
first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import orjson
import typer

from collector.decode.protobuf import decode, parse  # for a few bodies, kernels are slower: they must be loaded
from collector.journal.record import Record
from schema.anyvalue import dump_json
from schema.component import Signal
from schema.errors import EvalgateError, Reason, Refused
from schema.span import CANONICAL, JSON_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.processors.normalise import OnFault
    from schema.batch import SpanBatch
    from schema.failure.rules import FailureRules

SCHEMA = "normalized/1"
STATUS = ("unset", "ok", "error")
GZIP_MAGIC = b"\x1f\x8b"
RENAMED = {"span_kind": "kind"}
FEEDBACK_KEYS = ("trace_id", "span_id", "name", "value", "label", "comment", "response_id", "session_id", "polarity")
Document = dict[str, Any]


def document(
    bodies: Sequence[tuple[str, bytes]],
    *,
    on_fault: OnFault | None = None,
    rules: FailureRules | None = None,
) -> Document:
    """Return the document of all bodies, given as (name, bytes) in order of arrival.

    `on_fault` is told of spans that could not be read whole; by default they are logged. `rules` say what is failing;
    by default those of a policy that says nothing.

    Raises:
        Refused: a body is no OTLP request; its name is in the message.

    """
    records = [_record(i, name, body) for i, (name, body) in enumerate(bodies)]
    rejected: list[Document] = []
    batch = _processed(decode(records), on_fault, rules)
    spans = list(_spans(batch, rejected))
    return {"schema": SCHEMA, "spans": spans, "feedback": [_feedback(f) for f in batch.feedback], "rejected": rejected}


def _processed(batch: SpanBatch, on_fault: OnFault | None, rules: FailureRules | None) -> SpanBatch:
    """Run the steps of the pipeline that decide what a document shows."""
    # here, so that the other commands do not pay for them
    from collector.processors.failure import with_failures  # noqa: PLC0415
    from collector.processors.normalise import canonical, log_fault  # noqa: PLC0415

    return (rules or with_failures)(canonical(batch, on_fault=on_fault or log_fault))


def _record(sequence: int, name: str, body: bytes) -> Record:
    signal, encoding = _sniff(name, body)
    record = Record(sequence, "default", signal, encoding, body.startswith(GZIP_MAGIC), 0, body)
    try:
        parse(record)
    except Refused as e:
        raise Refused(e.reason, f"{name}: {e}") from None
    return record


def _sniff(name: str, body: bytes) -> tuple[Signal, Literal["protobuf", "json"]]:
    """Return signal and encoding of a body.

    Raises:
        Refused: it is neither a request for traces nor one for logs.

    """
    plain = _plain(name, body)
    encoding: Literal["protobuf", "json"] = (
        "json" if plain.lstrip()[:1] in (b"{", b"[") and _json(plain) else "protobuf"
    )
    hint: Signal | None = "logs" if ".logs." in Path(name).name else None
    for signal in (hint,) if hint else get_args(Signal):
        record = Record(0, "default", signal, encoding, gzip=False, received_unix_ns=0, body=plain)
        if _fits(record):
            return signal, encoding
    raise Refused(
        Reason.BAD_DATA,
        f"{name} is no OTLP request: neither traces nor logs, neither protobuf nor JSON. "
        "Give the body of one export request, as it was sent (gzip is fine).",
    )


def _plain(name: str, body: bytes) -> bytes:
    if not body.startswith(GZIP_MAGIC):
        return body
    from collector.decode.inflate import gunzip  # noqa: PLC0415 - needs isal, only for gzip
    from collector.decode.protobuf import MAX_INFLATED_BYTES  # noqa: PLC0415 - as above

    try:
        return gunzip(body, MAX_INFLATED_BYTES)
    except Refused as e:
        raise Refused(e.reason, f"{name}: {e}") from None


def _json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _fits(record: Record) -> bool:
    """Tell whether a body makes sense as this signal: it parses, and its records carry what that signal has.

    A log record parses as a span and the reverse (unknown fields are skipped), so the fields that are there decide.
    """
    if record.encoding == "json":
        document = orjson.loads(record.body)
        words = ("resourceSpans", "resource_spans") if record.signal == "traces" else ("resourceLogs", "resource_logs")
        return isinstance(document, dict) and (any(w in document for w in words) or not document)
    try:
        message = parse(record)
    except Refused:
        return False
    if record.signal == "logs":
        return True
    spans = [s for r in message.resource_spans for sc in r.scope_spans for s in sc.spans]
    return all(len(s.trace_id) == 16 or s.span_id or s.start_time_unix_nano for s in spans)


def _spans(batch: SpanBatch, rejected: list[Document]) -> Iterable[Document]:
    columns = {name: batch.columns[name].to_pylist() for name in CANONICAL.names if name in batch.columns}
    seen: set[tuple[str, str]] = set()
    scope_names = batch.scopes.name.to_pylist()
    for row, (trace_id, span_id, parent) in enumerate(batch.hex_ids()):
        if not int(trace_id, 16) or not int(span_id, 16):
            rejected.append({"reason": "bad_id", "name": batch.name[row].as_py(), "trace_id": trace_id})
            continue
        if (trace_id, span_id) in seen:
            continue
        seen.add((trace_id, span_id))
        span: Document = {
            "trace_id": trace_id,
            "span_id": span_id,
            "parent_span_id": parent,
            "name": batch.name[row].as_py(),
            "scope_name": scope_names[int(batch.scope[row])] or None,
            "start_unix_ns": int(batch.start_unix_ns[row]),
            "end_unix_ns": int(batch.end_unix_ns[row]),
            "status_code": STATUS[min(int(batch.status_code[row]), 2)],
        }
        for name, values in columns.items():
            value = values[row]
            span[RENAMED.get(name, name)] = orjson.loads(value) if name in JSON_COLUMNS and value else value
        yield span


def _feedback(row: Any) -> Document:
    out = {key: row.get(key) for key in FEEDBACK_KEYS}
    return out | {"value": orjson.loads(out["value"]) if out["value"] else None}


def normalize_command(
    files: Annotated[
        list[str] | None, typer.Argument(help="Bodies in order of arrival; - reads one from standard input.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help='JSON list of {"id", "files"}; prints one line {"id", "document"} for each.'),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="What is failing by this file: one with failure:, or a collector's configuration."),
    ] = None,
) -> None:
    """Print what the normaliser makes of OTLP payloads, as the document normalized/1."""
    if (manifest is None) == (not files):
        _fail("give files, or --manifest M.json, and not both")
    try:
        rules = None if policy is None else _rules(policy)
    except EvalgateError as e:
        _fail(str(e))
    if manifest is not None:
        _answer_manifest(manifest, rules)
        return
    try:
        found = document([_read(f) for f in files or []], rules=rules)
        print(dump_json(found))  # noqa: T201 - the document is the output
    except (EvalgateError, OSError) as e:
        _fail(str(e))


def _rules(policy: Path) -> FailureRules:
    from schema.failure.rules import FailureRules  # noqa: PLC0415 - only where there is a policy
    from schema.policy import read_policy  # noqa: PLC0415 - as above

    return FailureRules.of(read_policy(policy).failure)


def _answer_manifest(manifest: Path, rules: FailureRules | None) -> None:
    try:
        jobs = json.loads(manifest.read_text(encoding="utf-8"))
        listed = [(str(job["id"]), [str(f) for f in job["files"]]) for job in jobs]
    except (OSError, ValueError, KeyError, TypeError) as e:
        _fail(f'{manifest} is no list of {{"id", "files"}}: {e!r}')
    for id_, files in listed:
        try:
            line = {"id": id_, "document": document([_read(f) for f in files], rules=rules)}
        except (EvalgateError, OSError) as e:
            line = {"id": id_, "error": str(e)}
        print(dump_json(line))  # noqa: T201 - the answer is the output


def _read(name: str) -> tuple[str, bytes]:
    return ("-", sys.stdin.buffer.read()) if name == "-" else (name, Path(name).read_bytes())


def _fail(message: str) -> None:
    typer.echo(f"normalize: {message}", err=True)
    raise typer.Exit(2)
