"""The exporter `debug`: says what passes, on standard output. For trying a configuration, not for production."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TextIO

from schema.anyvalue import dump_json
from schema.component import ComponentConfig, Context, Exporter, component

if TYPE_CHECKING:
    from schema.batch import SpanBatch


class DebugConfig(ComponentConfig):
    """How much is said."""

    verbosity: Literal["basic", "detailed"] = "basic"
    """basic: a line per batch. detailed: also a JSON line per span and log record, with their content."""


class DebugExporter:
    """Writes lines; keeps nothing."""

    def __init__(self, name: str, verbosity: Literal["basic", "detailed"], out: TextIO | None = None) -> None:
        self._name = name
        self._verbosity = verbosity
        self._out = out

    async def start(self) -> None:
        """Do nothing."""

    async def export(self, batch: SpanBatch, token: str) -> None:
        """Write the batch."""
        out = self._out or sys.stdout
        feedback = f", {len(batch.feedback)} feedback" if batch.feedback else ""
        print(f"{self._name}: {len(batch)} spans, {len(batch.logs)} log records{feedback} ({token})", file=out)
        if self._verbosity == "detailed":
            for line in (*_spans(batch), *_logs(batch)):
                print(line, file=out)
        out.flush()

    async def shutdown(self) -> None:
        """Do nothing."""


def _spans(batch: SpanBatch) -> list[str]:
    columns = {name: array.to_pylist() for name, array in batch.columns.items()}
    names = batch.name.to_pylist()
    lines = []
    for row, (trace_id, span_id, parent) in enumerate(batch.hex_ids()):
        lines.append(
            dump_json(
                {
                    "trace_id": trace_id,
                    "span_id": span_id,
                    "parent_span_id": parent,
                    "name": names[row],
                    "start_unix_ns": int(batch.start_unix_ns[row]),
                    "end_unix_ns": int(batch.end_unix_ns[row]),
                    "attributes": batch.attributes.of(row),
                    "columns": {name: values[row] for name, values in columns.items() if values[row] is not None},
                }
            )
        )
    return lines


def _logs(batch: SpanBatch) -> list[str]:
    names = batch.logs.event_name.to_pylist()
    return [
        dump_json(
            {
                "event_name": names[row],
                "trace_id": batch.logs.trace_id[row].tobytes().hex(),
                "span_id": batch.logs.span_id[row].tobytes().hex(),
                "attributes": batch.logs.attributes.of(row),
                "body": batch.logs.body.of(row).get("body"),
            }
        )
        for row in range(len(batch.logs))
    ]


@component("exporter", "debug", DebugConfig)
def debug(config: DebugConfig, context: Context) -> Exporter:
    """Make the exporter."""
    return DebugExporter(context.name, config.verbosity)
