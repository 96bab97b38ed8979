"""Looks at the files that a decision rests on: the decision itself reads none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evalgate.align.store import made_from
from evalgate.dataset.chains import chains_path, read_chains
from evalgate.dataset.store import load_leniently
from evalgate.errors import BadInput
from evalgate.evaluators.files import evaluator_paths, read_evaluators
from evalgate.files import strict_json
from evalgate.gate.decision import Check, CheckStatus, names_of
from evalgate.gate.evidence import Fact, Facts
from evalgate.gate.terms import FROM_FILE
from evalgate.run.partial import SUFFIX
from evalgate.run_files import RUNS
from evalgate.terminal import count_of
from schema.evaluator import ID, Evidence
from schema.provenance import case_hash

if TYPE_CHECKING:
    from evalgate.dataset.store import Dataset
    from schema.evaluator import EvaluatorSpec
    from schema.run import EvaluatorUsed, Run

DATASET_SUFFIX = ".jsonl"
NEWER = "data:newer"
MISSING = "missing:dataset:"
AROUND = (NEWER, MISSING)
"""Checks of the gate as a whole; they are not of one run's files."""


def look(
    run: Run,
    baseline: str | None,
    *,
    base_from: str = FROM_FILE,
    typed: tuple[str, ...] = (),
    around: tuple[Check, ...] = (),
) -> Facts:
    """Return what is known of the files behind a run; `baseline` is where one was read from, checksum and all.

    The rest is passed on: see `Facts`.

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
        evaluators=_evaluators(run),
        base_from=base_from,
        typed=typed,
        around=around,
    )


def newer_run(run: Run, root: Path = RUNS) -> tuple[Check, ...]:
    """Return an error where a newer run of the dataset was begun and did not end: the one at hand is not the latest."""
    for path in sorted(root.glob(f"*{SUFFIX}"), reverse=True) if root.is_dir() else ():
        begun, name = path.name.removesuffix(SUFFIX), _dataset_of(path)
        if begun > run.run_id and name in (run.dataset.name, run.dataset.path):
            sentence = (
                f"a newer run of {run.dataset.name} was begun and not finished ({begun}), so {run.run_id} is not what "
                f"is there now. Go on with it: evalgate run --resume {begun}. Or judge this one all the same: "
                f"evalgate gate --run {run.run_id}"
            )
            return (_error(NEWER, sentence),)
    return ()


def unjudged(datasets: tuple[str, ...], where: str) -> tuple[Check, ...]:
    """Return an error for each dataset of the base that the gate's runs leave out."""
    return tuple(
        _error(
            f"{MISSING}{name}",
            f"{name} is accepted in {where}, and no run of this gate judges it. Add it to runs: of evals/gate.yaml, or "
            f"forget it: evalgate baseline remove {name}",
        )
        for name in datasets
    )


def _error(name: str, sentence: str) -> Check:
    return Check(name, Evidence.INTEGRITY, CheckStatus.ERROR, blocking=True, sentence=sentence)


def _dataset_of(path: Path) -> str | None:
    """Return the dataset of a run that did not end, by its name or its path; None: the file does not say."""
    try:
        with path.open("rb") as file:
            said = strict_json(file.readline().decode("utf-8"))["options"]["dataset"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return said if isinstance(said, str) else None


def _evaluators(run: Run) -> Fact | None:
    """Look whether the evaluators' files are those that judged; None: they are not here."""
    if run.settings.evaluators is None:
        return None
    folder = Path(run.settings.evaluators)
    if not evaluator_paths(folder):
        return None
    try:
        now = {f.spec.id: f.spec for f in read_evaluators(folder)}
    except BadInput as e:
        return Fact(intact=False, sentence=f"the evaluators cannot be read any more: {e}")
    used = {e.id: e for e in run.evaluators}
    others = sorted(i for i, spec in now.items() if i in used and not _same(used[i], spec))
    others += [f"{i} (gone)" for i in sorted(used.keys() - now.keys())] + [f"{i} (new)" for i in now if i not in used]
    if others:
        return Fact(
            intact=False,
            sentence=f"{folder} is not what judged the run {run.run_id}: {names_of(others)}. Run it again: "
            f"evalgate run --dataset {run.dataset.name} --target {run.target}",
        )
    return Fact(intact=True, sentence=f"{count_of(len(now), 'evaluator')} of {folder} as in the run")


def _same(used: EvaluatorUsed, spec: EvaluatorSpec) -> bool:
    return (used.version, used.threshold, used.mcc_score, used.must_not_break, used.generated) == (
        spec.version,
        spec.threshold,
        spec.mcc_score,
        spec.must_not_break,
        spec.generated is not None,
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
