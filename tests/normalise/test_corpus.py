"""The judge over the whole corpus: real payloads of every dialect against the truth beside them."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.normalize import document
from tests.normalise.payload import CORPUS

if TYPE_CHECKING:
    from types import ModuleType

FLOOR, FIELD_FLOOR, DIALECT_FLOOR = 0.999, 0.99, 0.99
CLI = "import typer; from collector.normalize import normalize_command; typer.run(normalize_command)"


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", CORPUS.parent / "tools" / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_dialect_is_read_right(judge: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "checks.json"
    command = f'{sys.executable} -W error -c "{CLI}"'
    options = ["--batch", "--corpus", str(CORPUS), "--json", str(report), "--verbose"]
    code = judge.main([*options, "--min", str(FLOOR), "--min-field", str(FIELD_FLOOR), command])
    assert code == 0, capsys.readouterr().out
    checks: list[dict[str, Any]] = json.loads(report.read_text())
    assert len(checks) > 5000
    tally: dict[str, list[bool]] = {}
    for check in checks:
        tally.setdefault(check["capture"].split("/")[0], []).append(check["passed"])
    low = {dialect: sum(p) / len(p) for dialect, p in tally.items() if sum(p) / len(p) < DIALECT_FLOOR}
    assert not low


@pytest.fixture(scope="module")
def captures() -> dict[str, list[Path]]:
    """Return the bodies of every capture, spans first, as a sender delivers them."""
    found: dict[str, list[Path]] = {}
    for body in sorted(CORPUS.glob("*/*.otlp.*"), key=lambda p: (".logs." in p.name, p.name)):
        found.setdefault(f"{body.parent.name}/{body.name.split('.')[0]}", []).append(body)
    assert len(found) > 170
    return found


def split(body: Path) -> list[tuple[str, bytes]]:
    """Return a request of its own for every span of a body."""
    if ".logs." in body.name or body.suffix == ".json":
        return [(body.name, body.read_bytes())]
    alone = []
    for holder in ExportTraceServiceRequest.FromString(body.read_bytes()).resource_spans:
        for scope in holder.scope_spans:
            for one in scope.spans:
                request = ExportTraceServiceRequest()
                resource = request.resource_spans.add(resource=holder.resource, schema_url=holder.schema_url)
                resource.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url, spans=[one])
                alone.append((body.name, request.SerializeToString()))
    return alone


def in_order(found: dict[str, Any]) -> list[str]:
    return sorted(json.dumps(s, sort_keys=True) for s in found["spans"])


def test_neither_order_nor_batching_of_arrival_matters(captures: dict[str, list[Path]]) -> None:
    shuffle = random.Random(7).shuffle  # noqa: S311 - an order, not a secret
    for id_, bodies in captures.items():
        delivered = document([(b.name, b.read_bytes()) for b in bodies])
        alone = [part for body in bodies for part in split(body)]
        shuffle(alone)
        assert in_order(document(alone)) == in_order(delivered), id_


def test_no_dialect_is_told_by_its_scope(judge: ModuleType, captures: dict[str, list[Path]]) -> None:
    """Forks, wrappers and the next version come under other scope names; only habits hang on those."""
    wrong, total = 0, 0
    for path in sorted(CORPUS.glob("*/*.expected.json")):
        truth = judge.Capture(str(path))
        bodies = []
        for file in map(Path, truth.files):
            body = file.read_bytes()
            if ".logs." not in file.name and file.suffix == ".pb":
                request = ExportTraceServiceRequest.FromString(body)
                for holder in request.resource_spans:
                    for scope in list(holder.scope_spans):
                        bare = [s for s in scope.spans if not s.attributes]  # a name within its scope is all they have
                        holder.scope_spans.add(scope=scope.scope, spans=bare)
                        rest = [s for s in scope.spans if s.attributes]
                        scope.scope.name = "another"
                        del scope.spans[:]
                        scope.spans.extend(rest)
                body = request.SerializeToString()
            bodies.append((file.name, body))
        checks = judge.judge(truth, document(bodies))
        wrong, total = wrong + sum(not c[1] for c in checks), total + len(checks)
    assert wrong / total < 0.003
