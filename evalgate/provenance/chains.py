"""Verify the chains of a dataset: what each says of itself, of its case, and what the report says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evalgate.provenance.link import Link, Standing
from evalgate.terminal import count_of
from schema.provenance import PROMOTED, case_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from schema.case import Case
    from schema.provenance import Chain


def chain_links(
    found: Mapping[str, tuple[Chain, str]], failing: Sequence[Mapping[str, Any]], cases: Mapping[str, Case]
) -> Iterator[Link]:
    """Yield what is broken in any chain of the dataset, and how each failing case of the report stands to its own."""
    told = {c["case_id"]: c for c in failing}
    for case_id, (chain, stated) in found.items():
        faults = [*_faults(chain, stated, cases.get(case_id))]
        if case_id in told:
            yield from _failing(told[case_id], chain, faults)
        else:
            yield from (Link(f"chain:{case_id}", Standing.BROKEN, fault) for fault in faults)
    yield from (_without(told[i]) for i in told if i not in found)
    lacking = [i for i, c in cases.items() if c.provenance.trace_id and i not in found and i not in told]
    if lacking:
        names = ", ".join(lacking[:4]) + (" …" if len(lacking) > 4 else "")
        words = f"{count_of(len(lacking), 'case')} from a trace without one, so nobody vouches for a promotion: {names}"
        yield Link("chains", Standing.ABSENT, words)


def _faults(chain: Chain, stated: str, case: Case | None) -> Iterator[str]:
    if chain.hash != stated:
        yield f"its links make the hash {chain.hash}, the file says {stated}"
    if chain.status != PROMOTED:
        yield f"its case was {chain.status}, not promoted, when the chain was written"
    if case is None:
        return
    if case_hash(case) != chain.case:
        yield "its case was changed since the chain was written: build the dataset again, or put it back"
    wanted = case.provenance.annotation_id
    if wanted is not None and wanted not in {a.annotation_id for a in chain.annotations}:
        yield f"the case rests on annotation {wanted}, which the chain lacks"


def _failing(stated: Mapping[str, Any], chain: Chain, faults: list[str]) -> Iterator[Link]:
    said = stated.get("chain")
    name = f"chain:{chain.case_id}"
    if not isinstance(said, dict) or said.get("hash") != chain.hash:
        given = said.get("hash") if isinstance(said, dict) else None
        faults.append(f"its hash is {chain.hash}, the report says {given}")
    if not faults:
        parts = [count_of(len(chain.annotations), "annotation"), count_of(len(chain.spans), "span")]
        issue = f"issue {chain.issue.id}, " if chain.issue else ""
        yield Link(name, Standing.HOLDS, f"{issue}{', '.join(parts)}, hash {chain.hash[:16]}")
    yield from (Link(name, Standing.BROKEN, fault) for fault in faults)


def _without(stated: Mapping[str, Any]) -> Link:
    name = f"chain:{stated['case_id']}"
    if stated.get("chain") is not None:
        return Link(name, Standing.BROKEN, "the report has it, the file of chains has it no more")
    if stated.get("trace_id"):
        return Link(name, Standing.ABSENT, "the case came from a trace before chains were recorded")
    return Link(name, Standing.ABSENT, "it came from no trace: it rests on its author's word")
