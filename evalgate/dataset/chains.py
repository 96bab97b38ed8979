"""Chains on disk: evals/datasets/NAME.provenance.jsonl, one per case that came from a trace, sorted by case id."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evalgate.errors import BadInput
from evalgate.files import read_jsonl, to_json_line, write_atomic
from schema.provenance import chain_to_json, parse_chain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from schema.provenance import Chain


def chains_path(dataset: Path) -> Path:
    """Return where the chains of a dataset file lie."""
    return dataset.with_name(dataset.name.removesuffix(".jsonl") + ".provenance.jsonl")


def write_chains(dataset: Path, chains: Iterable[Chain], *, case_ids: Collection[str]) -> Path:
    """Write the chains beside a dataset; those of its other cases stay, those of cases it has no more go.

    Spans that retention has taken since are not forgotten: their hashes stay as long as the case says the same.

    Raises:
        BadInput: the existing file cannot be read or written.

    """
    path = chains_path(dataset)
    before = {c.case_id: c for c, _ in read_chains(path).values()} if path.exists() else {}
    after = before | {c.case_id: _with_spans(c, before.get(c.case_id)) for c in chains}
    kept = [after[i] for i in sorted(after.keys() & set(case_ids))]
    write_atomic(path, "".join(to_json_line(chain_to_json(c)) + "\n" for c in kept))
    return path


def _with_spans(chain: Chain, before: Chain | None) -> Chain:
    if chain.spans or before is None or before.case != chain.case:
        return chain
    return replace(chain, spans=before.spans)


def read_chains(path: Path) -> dict[str, tuple[Chain, str]]:
    """Return each chain with the hash that the file gives for it, by case id.

    Raises:
        BadInput: naming file and line.

    """
    found: dict[str, tuple[Chain, str]] = {}
    for number, value in read_jsonl(path):
        try:
            if isinstance(value, ValueError):
                raise value
            chain, spoken = parse_chain(value)
        except ValueError as e:
            raise BadInput(f"{path} line {number}: {e}") from None
        if chain.case_id in found:
            raise BadInput(f"{path} line {number}: the case {chain.case_id} stands there twice")
        found[chain.case_id] = (chain, spoken)
    return found
