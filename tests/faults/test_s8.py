"""S8: secrets in prompts, errors, logs, names and keys.

Injected: a key of a provider in every place of a request where a sender can put a text, from one of fourteen providers.
Holds: none of them is in any column of any table or view, in the collector's log, in what the debug exporter prints, in
what commands print, or in a dataset; each was counted; what surrounds them is whole.
Figure: places of a request with a secret in them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.content import await_rows, evalgate, everything, post
from tests.faults.harness import until
from tests.redact.oracle import SECRETS, in_context
from tests.redact.places import Canaries, canaries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.faults.harness import Collector, Launch

NOT_ALONE = {"private_key", "email", "card", "url_password", "authorization", "assigned", "google", "aws"}
"""What a number behind it makes another thing of, or that is not masked by default."""


@pytest.fixture
def made() -> Canaries:
    """Return requests with a key in every place."""
    keys = [s for s in SECRETS if s[0] not in NOT_ALONE]
    return canaries(lambda i: f"{in_context(*keys[i % len(keys)])}{i}")


def receiving(launch: Launch, store: str, made: Canaries) -> Collector:
    """Return a collector that has stored the requests and printed them."""
    pipeline: dict[str, Any] = {"receivers": ["otlp"], "exporters": ["clickhouse", "debug"]}
    pipeline["processors"] = ["redact", "normalise", "cost", "failure", "sample"]
    config = {
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {"pipelines": {"traces": pipeline, "logs": dict(pipeline)}},
    }
    collector = launch(dsn=store, config=config).start()
    post(collector, "traces", made.traces)
    post(collector, "logs", made.logs)
    await_rows(collector, spans=1, logs=3)
    until(lambda: "parent_span_id" in collector.log and "gen_ai.evaluation.result" in collector.log, "both are printed")
    return collector


def kept(made: Canaries, places: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Return by place the secrets that are in it, by where they were sent."""
    found = {name: [made.where[s] for s in made.secrets if s.encode() in text] for name, text in places.items()}
    return {name: secrets for name, secrets in found.items() if secrets}


@pytest.mark.quick
def test_no_secret_is_stored_or_logged(
    launch: Launch, store: str, made: Canaries, record_property: Callable[[str, object], None]
) -> None:
    collector = receiving(launch, store, made)
    places = {**everything(collector), "log": collector.log.encode()}
    assert kept(made, places) == {}
    assert b"REDACTED" in places["spans"]
    assert b"REDACTED" in places["log"], "the debug exporter printed it"
    counted = collector.status()["redactions"]
    assert counted.keys() >= {name for name, _ in SECRETS} - NOT_ALONE
    assert sum(counted.values()) >= len(made.secrets)
    record_property("figure", f"{len(made.secrets)} places")


def test_no_secret_is_printed_by_a_command_or_gets_into_a_dataset(launch: Launch, store: str, made: Canaries) -> None:
    collector = receiving(launch, store, made)
    work = collector.folder / "work"
    work.mkdir()
    trace = b"canary-trace-id!".hex()
    (work / "labels.jsonl").write_text(json.dumps({"trace_id": trace, "verdict": "bad", "failure_mode": "leak"}))
    commands = (
        ("traces", "--json"),
        ("traces", "show", trace, "--json"),
        ("query", "SELECT * FROM spans", "--format", "json"),
        ("label", "--from", "labels.jsonl"),
        ("cases", "promote", "--all"),
        ("dataset", "build", "--name", "leaks"),
    )
    places = {" ".join(c): evalgate(collector, work, *c).encode() for c in commands}
    places |= {p.name: p.read_bytes() for p in work.rglob("*") if p.is_file()}
    assert kept(made, places) == {}
    assert b"REDACTED" in places["leaks.jsonl"], "the case is there"
