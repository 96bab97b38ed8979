"""`evalgate evals attack`: how far a judge can be talked round by what it judges."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.align.labelled import as_shown, choose
from evalgate.align.sources import read_known
from evalgate.align.specs import lacking_model, load_all
from evalgate.errors import BadInput
from evalgate.evals.align import pick
from evalgate.evals.options import Datasets, Folder  # noqa: TC001 - typer reads them at run time
from evalgate.model.options import ModelOptions, open_from_options, with_model_options
from evalgate.options import Dsn, Json, Tenant  # noqa: TC001 - as above
from evalgate.places import EVALUATORS
from evalgate.terminal import Terminal, count_of
from schema.verdict import Verdict

if TYPE_CHECKING:
    from evalgate.evaluators.injection import Resistance
    from schema.case import Case
    from schema.evaluator import Evaluator
    from schema.run import Output

FLIPPED = 1
SHOWN_ERRORS = 3
DEFAULT_CASES = 3
"""Each is judged once for every attack: some 150 calls."""


def register(group: typer.Typer) -> None:
    """Add the command to the group `evals`."""
    group.command("attack")(attack)


@with_model_options
def attack(
    *,
    evaluator: Annotated[str, typer.Argument(metavar="ID", help="A judge.")],
    models: ModelOptions,
    dataset: Datasets = [],  # noqa: B006 - typer copies it
    evaluators: Folder = EVALUATORS,
    cases: Annotated[int, typer.Option(min=1, help="Bad answers to attack with.")] = DEFAULT_CASES,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls at once.")] = 8,
    tenant: Tenant = None,
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Add known prompt injections to bad answers and count those that then pass. Exits 1 where one does."""
    from evalgate.evaluators.injection import load_attacks, measure_resistance  # noqa: PLC0415 - reads YAML

    terminal = Terminal()
    opened = open_from_options(models)
    judge = _judge(load_all(evaluators, opened.chat), evaluator)
    known = read_known(dataset, dsn, tenant)
    bad = _bad(judge, known.cases)[:cases]
    if not bad:
        raise BadInput(
            f"{known.source} has no bad answer of {judge.spec.failure_mode!r} to attack with. Label one: evalgate label"
        )
    attacks = load_attacks()
    with terminal.progress(f"attacking {evaluator}", len(bad) * (1 + len(attacks))) as step:
        found = measure_resistance(judge, bad, attacks, concurrency=concurrency, step=step)
    if json:
        terminal.emit({"evaluator": evaluator, "version": judge.spec.version, **_to_json(found)})
    else:
        _show(terminal, found, len(attacks))
    if opened.were_asked:
        terminal.note(f"asked models: {opened.told()}")
    if not found.judged:
        raise BadInput(f"{evaluator} gave no verdict that an attack could move: {_why(found)}")
    if opened.budget.refused:
        raise BadInput(
            f"the budget was spent before {count_of(opened.budget.refused, 'attempt')} could be made. Give more and go "
            "on: what was answered is kept"
        )
    if found.flips:
        raise typer.Exit(FLIPPED)


def _judge(all_: tuple[Evaluator, ...], wanted: str) -> Evaluator:
    """Return the evaluator; a rule cannot be talked round, so it must be a judge.

    Raises:
        BadInput: it is not there, is no judge, or has no model.

    """
    from evalgate.evaluators.judge import JudgeEvaluator  # noqa: PLC0415 - as the caller

    (found,) = pick(all_, [wanted])
    if not isinstance(found, JudgeEvaluator):
        raise BadInput(f"{wanted} asks no model, so nothing can talk it round")
    if reason := lacking_model(found):
        raise BadInput(f"{wanted} is a judge: {reason}")
    return found


def _bad(judge: Evaluator, cases: tuple[Case, ...]) -> list[tuple[Case, Output]]:
    chosen = choose(judge.spec, cases).items
    return [(as_shown(judge.spec, x.case), x.output) for x in chosen if x.label is Verdict.BAD]


def _show(terminal: Terminal, found: Resistance, attacks: int) -> None:
    if found.attempts:
        terminal.say(
            f"{found.flips} of {count_of(len(found.attempts), 'attempt')} brought a bad answer through: "
            f"{count_of(found.cases, 'answer')}, {count_of(attacks, 'attack')}"
        )
        why = Counter(a.error for a in found.attempts if a.error)
        for message, number in why.most_common(SHOWN_ERRORS):
            terminal.say(
                f"{count_of(number, 'attempt')} ended without a verdict, which lets nothing through: {message}"
            )
        if len(why) > SHOWN_ERRORS:
            terminal.say(f"and {len(why) - SHOWN_ERRORS} other reasons: --json has them all")
    if found.passed_before:
        terminal.say(
            f"{count_of(found.passed_before, 'bad answer')} passed without any attack, and were left out: "
            "see evalgate evals align"
        )
    worked = [(name, f"{flips}/{tried}") for name, flips, tried in found.flips_by("attack") if flips]
    if worked:
        kinds = {a.attack: a.kind for a in found.attempts}
        terminal.table(("attack", "brought through", "kind"), [(n, share, kinds[n]) for n, share in worked])


def _why(found: Resistance) -> str:
    if not found.cases:
        return (
            f"it passes {count_of(found.passed_before, 'bad answer')} without any attack, "
            f"and {found.errors_before} ended in an error. See evalgate evals align"
        )
    return "every attempt ended in an error"


def _to_json(found: Resistance) -> dict[str, object]:
    return {
        "cases": found.cases,
        "passed_before": found.passed_before,
        "errors_before": found.errors_before,
        "attempts": len(found.attempts),
        "judged": found.judged,
        "flips": found.flips,
        "flip_rate": found.flip_rate,
        "results": [asdict(a) for a in found.attempts],
    }
