"""Ask the database whether chains are still true: spans, annotations and cases as they were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalgate.dataset.provenance import annotation_link, annotations_of, spans_of
from evalgate.provenance.link import Link, Standing
from evalgate.review.cases import CaseStatus, by_id, list_cases
from evalgate.terminal import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from evalgate.database import TenantDatabase
    from evalgate.review.cases import CaseRow
    from schema.provenance import AnnotationLink, Chain, SpanLink


def ask(database: TenantDatabase, chains: Mapping[str, Chain]) -> list[Link]:
    """Return a link for each part of each chain. What retention or erasure took is told, and breaks nothing."""
    traces = sorted({s.trace_id for c in chains.values() for s in c.spans})
    spans = {(s.trace_id, s.span_id): s for found in spans_of(database, traces).values() for s in found}
    said = {a["annotation_id"]: annotation_link(a) for rows in annotations_of(database, traces).values() for a in rows}
    rows = by_id(list_cases(database, ids=list(chains)))
    links: list[Link] = []
    for case_id, chain in chains.items():
        links += _spans(case_id, chain, spans)
        links += _annotations(case_id, chain, said, is_gone=not any(t in spans for t in _keys(chain)))
        links.append(_case(case_id, rows.get(case_id)))
    return links


def _keys(chain: Chain) -> list[tuple[str, str]]:
    return [(s.trace_id, s.span_id) for s in chain.spans]


def _spans(case_id: str, chain: Chain, found: Mapping[tuple[str, str], SpanLink]) -> Iterator[Link]:
    gone = [k for k in _keys(chain) if k not in found]
    for link in chain.spans:
        now = found.get((link.trace_id, link.span_id))
        if now is not None and now.hash != link.hash:
            told = f"it says something else now: its hash is {now.hash}, the chain of {case_id} has {link.hash}"
            yield Link(f"span:{link.trace_id}/{link.span_id}", Standing.BROKEN, told)
    if gone:
        told = f"{count_of(len(gone), 'span')} of {len(chain.spans)} are gone: by retention, or erased"
        yield Link(f"spans:{case_id}", Standing.ABSENT, told)
    elif chain.spans and all(found[k].hash == s.hash for k, s in zip(_keys(chain), chain.spans, strict=True)):
        yield Link(f"spans:{case_id}", Standing.HOLDS, f"{count_of(len(chain.spans), 'span')} stored as recorded")


def _annotations(case_id: str, chain: Chain, said: Mapping[str, AnnotationLink], *, is_gone: bool) -> Iterator[Link]:
    for link in chain.annotations:
        now = said.get(link.annotation_id)
        name = f"annotation:{link.annotation_id}"
        if now is None and is_gone:
            yield Link(name, Standing.ABSENT, "it is gone with its trace")
        elif now is None:
            yield Link(name, Standing.BROKEN, f"{link.annotator or 'somebody'} has undone it since: {case_id}")
        elif now.hash != link.hash:
            yield Link(name, Standing.BROKEN, f"it says something else than the chain of {case_id}")
        else:
            yield Link(name, Standing.HOLDS, f"{now.verdict} by {now.annotator or '(nobody)'}, as recorded")


def _case(case_id: str, row: CaseRow | None) -> Link:
    if row is None:
        return Link(f"case:{case_id}", Standing.ABSENT, "the database has no such case: erased, or another database")
    if row.status is not CaseStatus.PROMOTED:
        return Link(f"case:{case_id}", Standing.BROKEN, f"it is {row.status} now")
    return Link(f"case:{case_id}", Standing.HOLDS, "it is promoted still")
