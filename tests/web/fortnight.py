"""A small project in which a team has worked, made within the test's own process."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evalgate.cluster.behaviour import Scope, read_corpus
from evalgate.cluster.find import Known, Settings, find
from evalgate.cluster.store import save as save_clusters
from evalgate.database import TenantDatabase
from evalgate.dataset.quarantine import add_drafts
from evalgate.dataset.store import DATASETS, add_cases
from evalgate.issues.modes import list_modes, merge_issues
from evalgate.issues.moves import move
from evalgate.queue.definition import Queue
from evalgate.queue.fill import fill
from evalgate.queue.store import create_queue
from evalgate.review.cases import CaseStatus, list_cases
from evalgate.select.where import Where
from evalgate.signals.weights import Weights
from exporters.clickhouse.connect import connect
from exporters.clickhouse.migrate import migrate
from schema.issue import IssueStatus
from tests.web import seeding
from tests.web.repository import commit
from tests.web.serving import serving
from tests.web.shop import INVENTED, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.web.serving import Served
    from tests.web.shop import Told

DAYS = 12
PER_DAY = 14
QUEUE = "refunds"
DATASET = "support"
UNCOMMITTED = "scratch"


@dataclass(frozen=True, slots=True)
class Fortnight:
    """The pages, and what is on them."""

    served: Served
    dsn: str
    told: list[Told]
    issue: int
    """Of the failure mode that is met most."""
    cluster: int

    @property
    def trace(self) -> Told:
        """Return a trace that fails."""
        return next(t for t in self.told if t.mode == INVENTED)

    @property
    def session(self) -> str:
        """Return the conversation that it is of."""
        known = {a["key"]: a["value"] for a in self.trace.spans[0]["attributes"]}
        return str(known["gen_ai.conversation.id"]["stringValue"])


@contextmanager
def fortnight(dsn: str, folder: Path) -> Iterator[Fortnight]:
    """Serve the pages of it. The database is new, and dropped by the caller."""
    told = Shop(datetime.now(UTC)).traffic(DAYS, PER_DAY)
    with connect(dsn, create_database=True) as opened:
        migrate(opened)
        seeding.store(opened, told)
        database = TenantDatabase(opened, "default")
        seeding.label(database, told)
        numbers = _taken_up(database)
        cluster = _grouped(database)
        create_queue(database, Queue(QUEUE, where=("feature = refunds",), size=8), actor="ada")
        fill(database, Queue(QUEUE, where=("feature = refunds",), size=8), weights=Weights())
        _filed(database, folder)
    with serving(dsn, folder) as served:
        yield Fortnight(served, dsn, told, numbers[INVENTED], cluster)


def _taken_up(database: TenantDatabase) -> dict[str, int]:
    numbers = {m.name: m.issue for m in list_modes(database)}
    alike = [n for n in numbers if n.startswith("answer")]
    if len(alike) == 2:
        merge_issues(database, numbers[alike[0]], numbers[alike[1]], actor="ada", reason="the same")
    move(database, numbers[INVENTED], IssueStatus.ACKNOWLEDGED, actor="ada", reason="three customers called")
    return numbers


def _grouped(database: TenantDatabase) -> int:
    corpus = read_corpus(database, Where(" AND failing"), 1000, set())
    found = find(corpus.behaviours, Settings(least=2, neighbours=2), Known())
    body = {"traces": len(corpus.window), "found": corpus.found, "novel": len(found.novel), "novel_weight": 0.0,
            "weight": found.total_weight, "from": "", "since": "2w"}  # fmt: skip
    save_clusters(database, found, 1, Scope.FAILING, body, actor="ada")
    return found.clusters[0].id if found.clusters else 0


def _filed(database: TenantDatabase, folder: Path) -> None:
    """Write a dataset of two versions, and drafts beside it."""
    cases = [r.case for r in list_cases(database, status=CaseStatus.QUARANTINED)]
    root = folder / DATASETS
    root.mkdir(parents=True)
    at = datetime(2026, 11, 20, tzinfo=UTC)
    add_cases(DATASET, cases[:-3], criteria="what customers met", at=at, root=root)
    add_cases(UNCOMMITTED, cases[:1], criteria="built twice, and in no commit", at=at, root=root)
    add_cases(UNCOMMITTED, cases[:2], criteria=None, at=at, root=root)
    (folder / ".gitignore").write_text(f"{UNCOMMITTED}.*\n")
    commit(folder, "What customers met")
    add_cases(DATASET, cases[:-1], criteria=None, at=at, root=root)
    path = root / f"{DATASET}.jsonl"
    first, *rest = path.read_text("utf-8").splitlines(keepends=True)
    edited = {**json.loads(first), "tags": ["read again"]}
    path.write_text("".join([json.dumps(edited, ensure_ascii=False) + "\n", *rest[1:]]), "utf-8")
    commit(folder, "Two more; one is read again, one is gone")
    add_drafts(DATASET, cases[-1:], root)
    (folder / "evals" / "evaluators").mkdir()
    spec = {"id": "refund-window", "failure_mode": INVENTED, "rule": {"type": "not_contains", "text": "90 days"}}
    (folder / "evals" / "evaluators" / "refund-window.yaml").write_text(json.dumps(spec))
