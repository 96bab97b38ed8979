"""Looks at the files that a decision rests on: the decision itself reads none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.align.store import made_from
from evalgate.dataset.store import load_leniently
from evalgate.errors import BadInput
from evalgate.gate.evidence import Fact, Facts
from evalgate.provenance.store import chains_path, read_chains
from evalgate.terminal import count_of
from schema.evaluator import ID
from schema.provenance import case_hash

if TYPE_CHECKING:
    from evalgate.dataset.store import Dataset
    from schema.run import Run

DATASET_SUFFIX = ".jsonl"


def look(run: Run, baseline: str | None) -> Facts:
    """Return what is known of the files behind a run; `baseline` is where one was read from, checksum and all.

    A dataset that is not here, or that is no file of cases (the tests of a project), is nothing to look at: a run may
    come from another machine, and stands for itself.
    """
    dataset = _dataset(Path(run.dataset.path))
    generated = [e.id for e in run.evaluators if e.generated and ID.fullmatch(e.id)]
    words = f"{baseline} has the checksum that was written with it"
    return Facts(
        dataset_version=dataset.version if dataset else None,
        baseline=Fact(intact=True, sentence=words) if baseline else None,
        provenance=_provenance(dataset) if dataset else None,
        made_from={i: cases for i in generated if (cases := made_from(i))},
    )


def _dataset(path: Path) -> Dataset | None:
    if path.suffix != DATASET_SUFFIX or not path.is_file():
        return None
    try:
        return load_leniently(str(path))
    except BadInput:
        return None


def _provenance(dataset: Dataset) -> Fact | None:
    """Look whether the chains beside a dataset hold what they say, and rest on the cases that are there."""
    path = chains_path(dataset.path)
    if not path.is_file():
        return None
    try:
        chains = read_chains(path)
    except BadInput as e:
        return Fact(intact=False, sentence=str(e))
    cases = {c.case_id: case_hash(c) for c in dataset.cases}
    broken = [i for i, (chain, said) in chains.items() if chain.hash != said]
    strange = [i for i, (chain, _) in chains.items() if i in cases and chain.case != cases[i]]
    if broken or strange:
        first = (broken or strange)[0]
        what = "does not have the hash that stands beside it" if broken else "rests on another text of its case"
        return Fact(
            intact=False,
            sentence=f"the chain of {first} {what} ({path}; {count_of(len({*broken, *strange}), 'chain')} in all). "
            "See: evalgate provenance verify .evalgate/last-report.json",
        )
    return Fact(intact=True, sentence=f"{count_of(len(chains), 'chain')} from case to span hold what they say")
