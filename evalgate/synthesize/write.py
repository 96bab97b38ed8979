"""Where drafts go: the database, the quarantine of a dataset, or a file with its manifest. Nothing of it is ever run.

    drafts.jsonl            the drafts, by id
    drafts.meta.json        how they were made: version, seed, dimensions, sources with their hashes

The file is what the command makes, whole: the same project and the same options write the same bytes. It is written
first; who is killed in between leaves a manifest that tells the version of the file before, and running again mends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalgate.database import open_tenant
from evalgate.dataset.golden import GOLDEN
from evalgate.dataset.quarantine import add_drafts
from evalgate.dataset.store import DATASETS, QUARANTINE, read_cases
from evalgate.errors import BadInput
from evalgate.files import to_json, to_json_line, write_atomic
from evalgate.review.cases import CaseEvent, by_id, list_cases, record
from schema.case import case_to_json, dataset_version
from schema.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evalgate.synthesize.make import Order
    from evalgate.synthesize.sources import Asked
    from schema.case import Case

MANIFEST_SCHEMA: Final = "evalgate/drafts/1"


def manifest_path(out: Path) -> Path:
    """Return where the manifest of a file of drafts lies."""
    return out.with_name(out.name.removesuffix(".jsonl") + ".meta.json")


def check_out(out: Path) -> None:
    """Let a file be written.

    Raises:
        BadInput: it is no .jsonl file, lies where datasets are or what people agree about, which are no drafts, is a
            quarantine or a file of other cases: they would be lost.

    """
    if not out.name.endswith(".jsonl"):
        raise BadInput(f"--out {out}: name a file that ends in .jsonl")
    if out.name.removesuffix(".jsonl").endswith(QUARANTINE):
        name = out.name.removesuffix(f"{QUARANTINE}.jsonl")
        raise BadInput(f"{out} is added to, not replaced: leave --out away, and say --dataset {name}")
    for folder in (DATASETS, GOLDEN):
        if out.resolve().is_relative_to(folder.resolve()):
            raise BadInput(
                f"{out}: what lies in {folder} is taken for cases that people let in, and drafts are none; name a file "
                "elsewhere"
            )
    if not out.exists():
        return
    others = [c.case_id for c in read_cases(out) if c.provenance.synthesis is None or not c.provenance.is_draft]
    if others:
        raise BadInput(f"{out} holds cases that are no drafts ({others[0]}), and would be replaced; name another file")


def write_out(out: Path, drafts: Sequence[Case], sources: Sequence[Case], order: Order, model: str | None) -> None:
    """Write the drafts, then the manifest.

    Raises:
        BadInput: a file cannot be written.

    """
    ordered = sorted(drafts, key=lambda c: c.case_id)
    write_atomic(out, "".join(to_json_line(case_to_json(c)) + "\n" for c in ordered))
    failpoint("synthesize.before_manifest")
    write_atomic(manifest_path(out), to_json(_manifest(drafts, sources, order, model)))


def write_quarantine(name: str, drafts: Sequence[Case]) -> Path:
    """Add drafts to the quarantine of a dataset; return its file. Raises as `add_drafts`."""
    return add_drafts(name, drafts, DATASETS).path


def write_database(asked: Asked, drafts: Sequence[Case], actor: str) -> None:
    """Add drafts to the database, quarantined; those that came in since they were looked for stay as they are.

    Raises:
        EvalgateError: it cannot be written to.

    """
    with open_tenant(asked.dsn, asked.tenant, writes=True) as database:
        there = by_id(list_cases(database, ids=[c.case_id for c in drafts]))
        new = [c for c in drafts if c.case_id not in there]
        for source_id in dict.fromkeys(_source(c) for c in new):
            made = [c for c in new if _source(c) == source_id]
            record(database, made, CaseEvent.CREATED, actor=actor, reason=f"synthesized from {source_id}")


def _source(case: Case) -> str:
    return case.provenance.synthesis.case_id if case.provenance.synthesis else ""


def _manifest(drafts: Sequence[Case], sources: Sequence[Case], order: Order, model: str | None) -> dict[str, Any]:
    used = {_source(d) for d in drafts}
    return {
        "schema": MANIFEST_SCHEMA,
        "version": dataset_version(drafts),
        "cases": len(drafts),
        "drafted_by": order.drafted_by,
        "seed": order.seed,
        "count": order.count,
        "model": model,
        "dimensions": {d.name: {v.name: v.version for v in d.values} for d in order.dimensions},
        "sources": {c.case_id: c.content_hash for c in sorted(sources, key=lambda c: c.case_id) if c.case_id in used},
    }
