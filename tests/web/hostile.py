"""A database and a project in which every text that somebody else chose is an attack on whoever looks at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector.decode import decode
from collector.journal.record import Record
from evalgate.cluster.behaviour import Scope, conditions_of, read_corpus
from evalgate.cluster.find import Settings, find
from evalgate.cluster.store import read_known
from evalgate.cluster.store import save as save_clusters
from evalgate.queue.definition import Queue
from evalgate.queue.fill import fill
from evalgate.queue.store import create_queue
from evalgate.review.labels import drafts_of, save
from evalgate.review.numbers import open_issues
from evalgate.select.where import Where
from evalgate.signals.weights import Weights
from exporters.clickhouse.insert import insert_batch
from schema.verdict import Label, Verdict
from tests.evalgate.traffic import START, message
from tests.settle.cut import process
from tests.web.repository import commit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from evalgate.database import TenantDatabase

VECTORS: Final = tuple(
    json.loads(line) for line in Path(__file__).with_name("xss_vectors.txt").read_text("utf-8").splitlines()
)
ALL_IN_ONE: Final = "ff" * 16
QUEUE: Final = "hostile"
ISSUES: Final = 12
SAVED: Final = 6


def plant(database: TenantDatabase, folder: Path) -> None:
    """Put every vector into every column that holds words of apps or people."""
    traces = [_spans(f"{number:032x}", text) for number, text in enumerate(VECTORS, 1)]
    first, *_ = _spans(ALL_IN_ONE, VECTORS[0], [message("user", text) for text in VECTORS])
    tools = [{**_spans(ALL_IN_ONE, text)[1], "spanId": f"{1000 + n:016x}"} for n, text in enumerate(VECTORS)]
    resources = [
        _resource(text, spans) for text, spans in zip((*VECTORS, "shop"), (*traces, [first, *tools]), strict=True)
    ]
    body = json.dumps({"resourceSpans": resources}).encode()
    record = Record(1, "default", "traces", "json", gzip=False, received_unix_ns=_ns(START), body=body)
    insert_batch(database.opened, process(decode([record])), "hostile")  # type: ignore[arg-type]  # it is a connect.Database
    every = "\n".join(VECTORS)[:10_000]
    queue = create_queue(database, Queue(QUEUE, reviewers=2, size=50, instructions=every), actor=VECTORS[0])
    assert fill(database, queue, weights=Weights(), actor=VECTORS[1]).added
    _say(database)
    _review(database)
    behaviours = read_corpus(database, conditions_of(Where(), Scope.FAILING), 1000, {})
    known, number = read_known(database, Scope.FAILING)
    found = find(behaviours.behaviours, Settings(scope=Scope.FAILING, least=2), known)
    clustered = {
        "since": VECTORS[0],
        "where": [VECTORS[1]],
        "from": VECTORS[2],
        "found": len(behaviours.behaviours),
        **dict.fromkeys(("traces", "along", "weight", "novel", "novel_weight", "least"), 1),
    }
    save_clusters(database, found, number, Scope.FAILING, clustered, actor=VECTORS[2])
    _files(folder)


def _resource(text: str, spans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    attributes = dict.fromkeys(("service.name", "service.version", "deployment.environment.name", "x", text), text)
    scope = {"name": text, "version": text, "attributes": _attributes({text: text})}
    return {"resource": {"attributes": _attributes(attributes)}, "scopeSpans": [{"scope": scope, "spans": spans}]}


def _spans(trace_id: str, text: str, asked: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return an agent, a tool and a model call that say this everywhere."""
    shared = dict.fromkeys(("session.id", "user.id", "app.feature", "error.type", "error.message", text), text)
    call = {"type": "tool_call", "id": text, "name": text, "arguments": {text: text}}
    result = {"type": "tool_call_response", "id": text, "response": text}
    asked = asked or [message("system", text), message("user", text)]
    talk = [*asked, {"role": "assistant", "parts": [call]}, {"role": text, "parts": [result, {"type": text}]}]
    said = [message("assistant", text), {"role": "assistant", "parts": [{"type": "reasoning", "content": text}]}]
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": text,
        "gen_ai.workflow.name": text,
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps(said),
    }
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": text,
        "gen_ai.tool.call.id": text,
        "gen_ai.tool.call.arguments": json.dumps({text: text}),
        "gen_ai.tool.call.result": json.dumps(text),
    }
    chat = {
        "gen_ai.operation.name": "chat",
        **dict.fromkeys(("gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model"), text),
        **dict.fromkeys(("gen_ai.response.id", "gen_ai.prompt.name", "gen_ai.prompt.version"), text),
        "gen_ai.input.messages": json.dumps(talk),
        "gen_ai.output.messages": json.dumps(said),
        "gen_ai.response.finish_reasons": text,
        "langfuse.trace.tags": text,
        "metadata": json.dumps({text: text}),
    }
    begins = _ns(START)
    event = {"timeUnixNano": str(begins), "name": text, "attributes": _attributes({text: text})}
    link = {"traceId": ALL_IN_ONE, "spanId": "aa" * 8, "traceState": text, "attributes": _attributes({text: text})}
    return [
        {
            "traceId": trace_id,
            "spanId": f"{number:016x}",
            "parentSpanId": "" if number == 1 else f"{1:016x}",
            "name": text,
            "traceState": text,
            "startTimeUnixNano": str(begins),
            "endTimeUnixNano": str(begins + number * 1_000_000),
            "attributes": _attributes({**shared, **own}),
            "status": {"code": 2, "message": text},
            "events": [event],
            "links": [link],
        }
        for number, own in enumerate((agent, tool, chat), 1)
    ]


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000


def _say(database: TenantDatabase) -> None:
    """Plant feedback, and labels as another program could have written them."""
    traces = [f"{n:032x}" for n in range(1, len(VECTORS) + 1)]
    feedback = {"received_at": START, "time_unix_ns": 1, "span_id": "", "polarity": "negative"}
    database.insert_rows(
        "feedback",
        [
            {**feedback, "trace_id": t, **dict.fromkeys(("name", "value", "label", "comment", "source"), text)}
            for t, text in zip((*traces, *[ALL_IN_ONE] * len(VECTORS)), (*VECTORS, *VECTORS), strict=True)
        ],
    )
    anchor = {"message": 1, "start": 0, "end": 4}
    database.insert_rows(
        "annotations",
        [
            {
                "annotation_id": f"{n:032x}",
                "created_at": START,
                "trace_id": trace,
                "span_id": "",
                "verdict": "bad",
                "failure_mode": text,
                "corrected_output": text,
                "comment": text,
                "annotator": text,
                "undone": 0,
                "severity": text,
                "anchor": json.dumps([{**anchor, "quote": text[:500]}]),
                "queue": text[:60],
                "role": text,
            }
            for n, (trace, text) in enumerate(
                [*zip(traces, VECTORS, strict=True), *((ALL_IN_ONE, text) for text in VECTORS)]
            )
        ],
    )


def _review(database: TenantDatabase) -> None:
    """Plant issues and cases, as far as names are let in."""
    names = [text for text in VECTORS if text.isprintable() and text.strip() == text and "  " not in text]
    open_issues(database, names[:ISSUES], actor=VECTORS[0])
    labels = [
        Label(f"{n + 1:032x}", "", Verdict.BAD, names[n], VECTORS[n], VECTORS[n], f"x{VECTORS[n]}")
        for n in range(SAVED)
    ]
    drafts = [d for d in drafts_of(database, labels) if not isinstance(d, Exception)]
    assert save(database, drafts).cases


def _files(folder: Path) -> None:
    """Commit a dataset, as pull requests could bring it."""
    datasets = folder / "evals" / "datasets"
    datasets.mkdir(parents=True)
    # Two versions: one case is changed in every field, one goes, one comes.
    committed = [_case(n, text) for n, text in enumerate(VECTORS)]
    changed = {**_case(0, "\n".join(reversed(VECTORS))), "failure_mode": "plain"}
    for subject, cases in ((VECTORS[0], committed[:-1]), (VECTORS[1], [changed, *committed[2:]])):
        lines = [json.dumps(case) + "\n" for case in cases]
        (datasets / "hostile.jsonl").write_text("".join(lines), "utf-8")
        commit(folder, subject)


def _case(number: int, text: str) -> dict[str, Any]:
    return {
        "case_id": f"case-{number}",
        "input": text,
        "observed": {"output": text},
        "expected": {"output": text},
        "failure_mode": text if text.isprintable() and len(text) <= 120 else "plain",
        "feature": text,
        "tags": [text],
        "provenance": {"trace_id": f"{number + 1:032x}", "annotator": text},
    }


def holds(found: str, texts: Sequence[str] = VECTORS) -> int:
    """Return how many of the vectors stand in a text as they are."""
    return sum(text in found for text in texts)
