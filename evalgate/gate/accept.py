"""`evalgate baseline`: accept a run on purpose, show what was accepted, verify the file."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.errors import BadInput
from evalgate.files import read_json
from evalgate.gate.base import base_of
from evalgate.gate.baseline import (
    BASELINE,
    Accepted,
    Source,
    checksum_of,
    read_baselines,
    remove_from_baseline,
    write_baselines,
)
from evalgate.gate.luck import luck_words
from evalgate.git import tree_of, user_of
from evalgate.options import Json, new_app
from evalgate.places import LAST_REPORT
from evalgate.run_files import LATEST, RECENT_RUNS, load_run, runs_of
from evalgate.terminal import Terminal, count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.gate.base import Base
    from evalgate.gate.policy import GatePolicy
    from evalgate.gate.terms import Difference
    from evalgate.git import Tree
    from schema.run import Run

LISTED = 10
"""So many names stand in a message."""
OWN_FILES = (Path(".evalgate"),)
"""What we write ourselves does not make a tree dirty; nor do the baseline that is being written and the run itself."""
RESULTS = ".xml"
"""Of tests: the results that a run was made of."""

File = Annotated[Path, typer.Option("--baseline", metavar="PATH", help="The file.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("The accepted state that gates compare with: evals/baseline.json, a file that you commit.")
    group.command("accept")(accept)
    group.command("show")(show)
    group.command("verify")(verify)
    group.command("remove")(remove)
    app.add_typer(group, name="baseline")


def accept(
    *,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", help="A run: 'latest', its id, or a .json file; may be repeated.  [default: latest]"),
    ] = None,
    last_gate: Annotated[
        bool, typer.Option("--last-gate", help="All runs that the last gate judged, one of each dataset.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who accepts.  [default: git's user.name]", show_default=False)] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for those who read the file later.")] = None,
    accept_regressions: Annotated[
        bool, typer.Option("--accept-regressions", help="Accept also what was better before, or was there.")
    ] = False,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Accept with changes that are not committed; the file says so.")
    ] = False,
    no_git: Annotated[bool, typer.Option("--no-git", help="Accept without a repository; the file says so.")] = False,
    allow_errors: Annotated[int, typer.Option(min=0, help="How many cases may have no verdict.")] = 0,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="Whose policy is accepted with it.  [default: evals/gate.yaml, if it is there]"
        ),
    ] = None,
    baseline: File = BASELINE,
    json: Json = False,
) -> None:
    """Make a run the accepted state of its dataset. Other datasets stay as they are. Commit the file."""
    terminal = Terminal()
    if last_gate and run:
        raise BadInput("give --run or --last-gate, not both")
    runs = [load_run(reference) for reference in (last_judged() if last_gate else run or [LATEST])]
    own = [path for path, _ in runs] + [p for _, r in runs if (p := Path(r.dataset.path)).suffix == RESULTS]
    tree = _tree((*OWN_FILES, baseline, *own), allow_dirty=allow_dirty, no_git=no_git)
    known = read_baselines(baseline) if baseline.exists() else {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    who = by or user_of(Path.cwd())
    from evalgate.gate.settings import read_settings  # noqa: PLC0415 - every command reads this module

    policy = read_settings(config, os.environ)[0].policy
    accepted: dict[str, Accepted] = {}
    changed: dict[str, list[Difference]] = {}
    for path, found in runs:
        name = found.dataset.name
        if name in accepted:
            raise BadInput(f"two of these runs are of the dataset {name!r}: accept one of them")
        _refuse_without_verdicts(found, allow_errors)
        losses = losses_of(found, known[name].base) if name in known else []
        if losses and not accept_regressions:
            raise BadInput(
                f"accepting {found.run_id} would accept what got worse in {name!r}: {_listed(losses)}. "
                "Repair it, or accept it on purpose: --accept-regressions"
            )
        changed[name] = changes_of(found, known[name].base, policy) if name in known else []
        accepted[name] = Accepted(
            base_of(found, now, policy), _source(path, tree, who, _reason(reason, losses, changed[name]))
        )
    write_baselines(baseline, accepted)
    notes = [f"{one_line(r.dataset.name)}: {words}" for _, r in runs if (words := luck_words(r, _before(r)))]
    if json:
        rows = {n: {**_row(a), "terms_changed": [d.sentence for d in changed[n]]} for n, a in accepted.items()}
        terminal.emit({"path": str(baseline), "datasets": rows, "notes": notes})
        return
    for name, a in accepted.items():
        passed = sum(c.passed is True for c in a.base.cases.values())
        terminal.say(
            f"{name} version {a.base.version}: {passed} of {count_of(len(a.base.cases), 'case')} pass in the accepted "
            f"state (run {a.base.run_id})"
        )
        for change in changed[name]:
            terminal.say(f"accepted with it: {one_line(change.sentence, 2000)}")
    for note in notes:
        terminal.note(note)
    terminal.say(f"written to {baseline} ({_tree_words(tree)}); commit it")


def show(*, baseline: File = BASELINE, json: Json = False) -> None:
    """Show what was accepted, of which commit, by whom and why."""
    terminal = Terminal()
    found = read_baselines(_existing(baseline))
    if json:
        terminal.emit({"path": str(baseline), "datasets": {n: _row(a) for n, a in found.items()}})
        return
    if not found:
        terminal.say(f"{baseline} holds no dataset. Accept a run: evalgate baseline accept")
        return
    rows = [
        (
            name,
            a.base.version,
            f"{sum(c.passed is True for c in a.base.cases.values())}/{len(a.base.cases)}",
            (a.base.accepted_at or "")[:16],
            _commit_words(a.source),
            a.source.by or "–",
            a.source.reason or "–",
        )
        for name, a in found.items()
    ]
    terminal.table(("dataset", "version", "passed", "accepted (UTC)", "commit", "by", "reason"), rows)


def verify(*, baseline: File = BASELINE, json: Json = False) -> None:
    """Check that the file is as it was written. Exit 0 it is, 2 it is not."""
    found = read_baselines(_existing(baseline))
    dirty = sorted(n for n, a in found.items() if a.source.dirty)
    if json:
        checksum = checksum_of(read_json(baseline))
        Terminal().emit({"path": str(baseline), "intact": True, "checksum": checksum, "dirty": dirty})
        return
    terminal = Terminal()
    terminal.say(f"{baseline} is as it was written: {count_of(len(found), 'dataset')}")
    if dirty:
        terminal.say(f"accepted with changes that were not committed: {', '.join(map(one_line, dirty))}")


def remove(*, dataset: Annotated[str, typer.Argument(help="A dataset's name.")], baseline: File = BASELINE) -> None:
    """Forget the accepted state of one dataset, such as one that is gone."""
    remove_from_baseline(_existing(baseline), dataset)
    Terminal().say(f"{one_line(dataset)} is no longer in {baseline}; commit it")


def last_judged(report: Path = LAST_REPORT) -> list[str]:
    """Return the files of the runs that the last gate judged.

    Raises:
        BadInput: there was none, or it judged nothing.

    """
    if not report.is_file():
        raise BadInput(f"there is no {report}: no gate has judged anything here. Run one: evalgate gate")
    document = read_json(report)
    try:
        gates = document.get("gates", [document])
        return [str(gate["run"]["path"]) for gate in gates]
    except (AttributeError, KeyError, TypeError):
        raise BadInput(f"the last gate judged nothing ({report}). Name a run: --run") from None


def losses_of(run: Run, base: Base) -> list[str]:
    """Return what a run would lose against the accepted state: cases that passed, cases and evaluators that judged."""
    now = {r.case_id: r for r in run.results}
    losses = []
    for case_id, case in base.cases.items():
        result = now.get(case_id)
        if result is None or result.passed is None:
            losses.append(f"{case_id} has no verdict")
        elif case.passed and result.content_hash == case.content_hash and not result.passed:
            losses.append(f"{case_id} passed")
    judging = {s.evaluator for r in run.results for s in r.scores}
    return losses + [f"{e} judged" for e in base.evaluators if e not in judging and _judged(base, e)]


def changes_of(run: Run, base: Base, policy: GatePolicy) -> list[Difference]:
    """Return what makes it easier to pass than it was in the accepted state, with the names of all cases."""
    from evalgate.gate.paired import pair  # noqa: PLC0415 - every command reads this module
    from evalgate.gate.permission import permission_of  # noqa: PLC0415 - as above
    from evalgate.gate.terms import CHANGED_CASES, Difference, loosenings  # noqa: PLC0415 - as above

    asked, pairs = policy.of(run.dataset.name), pair(run, base)
    roles = {e.id: permission_of(e, asked).permission for e in run.evaluators}
    found = [d for d in loosenings(run, pairs, roles, asked) if d.id != CHANGED_CASES]
    if cases := pairs.changed:  # however many the policy lets go
        found.append(
            Difference(CHANGED_CASES, f"{count_of(len(cases), 'changed case')}: {', '.join(cases)}", cases=cases)
        )
    return found


def _before(run: Run) -> list[Run]:
    return [r for r in runs_of(run.dataset.name, last=RECENT_RUNS) if r.run_id != run.run_id]


def _judged(base: Base, evaluator: str) -> bool:
    return any(evaluator in c.scores for c in base.cases.values())


def _tree(besides: Sequence[Path], *, allow_dirty: bool, no_git: bool) -> Tree | None:
    """Return the state of the tree, None where there is no repository and that was allowed.

    Raises:
        BadInput: no repository, or changes that are not committed, and neither was allowed.

    """
    tree = tree_of(Path.cwd(), besides)
    if tree is None:
        if no_git:
            return None
        raise BadInput(
            "this is no git repository (or git is not installed), so nobody could tell later what was accepted. "
            "Accept all the same: --no-git"
        )
    if tree.changed and not allow_dirty:
        raise BadInput(
            f"{count_of(len(tree.changed), 'file')} not as committed ({_listed(tree.changed)}): what was run cannot be "
            "made again from a commit. Commit first, or accept all the same: --allow-dirty"
        )
    return tree


def _refuse_without_verdicts(run: Run, allow_errors: int) -> None:
    errors = [r.case_id for r in run.results if r.error is not None]
    if all(r.passed is None for r in run.results):
        raise BadInput(f"the run {run.run_id} has no verdicts, so it proves nothing and cannot be accepted")
    if len(errors) > allow_errors:
        raise BadInput(
            f"{count_of(len(errors), 'case')} of the run {run.run_id} ended in an error ({_listed(errors)}) and would "
            f"be missing from the baseline. Run again, or leave them out: --allow-errors {len(errors)}"
        )


def _source(path: Path, tree: Tree | None, by: str | None, reason: str | None) -> Source:
    return Source(
        commit=tree.commit if tree else None,
        dirty=bool(tree.changed) if tree else None,
        evalgate=version("otel-evalgate"),
        by=by,
        reason=reason,
        run_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _reason(given: str | None, losses: Sequence[str], changes: Sequence[Difference]) -> str | None:
    """Return why it was accepted; what was lost and loosened stands there whatever was said."""
    parts = [f"worse on purpose: {_listed(losses)}"] if losses else []
    if changes:
        parts.append(f"on other terms: {_listed([d.id for d in changes])}")
    told = "; ".join(parts)
    return f"{given} ({told})" if given and told else given or told or None


def _row(accepted: Accepted) -> dict[str, object]:
    base, source = accepted.base, accepted.source
    return {
        "run_id": base.run_id,
        "version": base.version,
        "accepted_at": base.accepted_at,
        "cases": len(base.cases),
        "passed": sum(c.passed is True for c in base.cases.values()),
        "evaluators": dict(base.evaluators),
        "commit": source.commit,
        "dirty": source.dirty,
        "by": source.by,
        "reason": source.reason,
    }


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadInput(f"there is no baseline {path}. Accept a run as one: evalgate baseline accept")
    return path


def _tree_words(tree: Tree | None) -> str:
    if tree is None:
        return "no repository"
    commit = f"commit {tree.commit[:12]}" if tree.commit else "nothing committed yet"
    return f"{commit}, with changes that are not committed" if tree.changed else commit


def _commit_words(source: Source) -> str:
    if source.commit is None:
        return "no commit"
    return source.commit[:12] + (" DIRTY" if source.dirty else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(one_line(n, 80) for n in names[:LISTED])
    return shown + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
