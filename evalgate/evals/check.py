"""`evalgate evals check`: whether evaluator files are right, all mistakes at once, and whether they can judge."""

from __future__ import annotations

import json as json_text
from collections import Counter
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalgate.align.store import read_measurements
from evalgate.dataset.store import load
from evalgate.errors import BadInput
from evalgate.evals.options import Folder  # noqa: TC001 - as above
from evalgate.evaluators.files import EvaluatorFile, FileMistake, WrongFile, evaluator_paths, read_evaluator
from evalgate.evaluators.load import make_evaluator
from evalgate.evaluators.patterns import MAX_STEPS_HERE, most_steps, patterns_of
from evalgate.options import Json  # noqa: TC001 - as above
from evalgate.places import EVALUATORS
from evalgate.terminal import Terminal, count_of
from schema.evaluator import Code, EvaluatorError, Judge, Plugin, body_to_json, evaluator_schema
from schema.run import observed_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from schema.case import Case
    from schema.evaluator import Evaluator, EvaluatorSpec

ROUNDED = 1e-4
"""Files state MCC to four digits."""
LONG_OUTPUT_CHARS = 2000
"""Patterns that may take longer on such an output than a run can wait are named."""


def register(group: typer.Typer) -> None:
    """Add the command to the group `evals`."""
    group.command("check")(check)


@dataclass(slots=True)
class Tried:
    """What an evaluator said of the observed outputs of a dataset."""

    path: Path
    id: str
    passed: int = 0
    failed: int = 0
    errors: int = 0
    not_judged: int = 0
    """It does not apply, or the case has no observed output."""
    first_error: str | None = None
    skipped: str | None = None
    """Why it was not tried at all."""


def check(
    *,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Evaluator files.  [default: all of the folder]", show_default=False),
    ] = None,
    evaluators: Folder = EVALUATORS,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Try each on what production did with these cases; judges are not asked."),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of evaluator files, for editors, and exit.")
    ] = False,
    json: Json = False,
) -> None:
    """Check evaluator files: every mistake with its line. Exits 2 where there is one."""
    terminal = Terminal()
    if schema:
        terminal.out.write(json_text.dumps(evaluator_schema(), indent=2, ensure_ascii=False) + "\n")
        return
    paths = list(files) if files else evaluator_paths(evaluators)
    if not paths:
        raise BadInput(f"there are no evaluators in {evaluators}. What one looks like: docs/evaluators.md")
    read, mistakes = _read(paths)
    ready: list[tuple[EvaluatorFile, Evaluator | None]] = []
    for file in read:
        try:
            ready.append((file, None if isinstance(file.spec.body, Judge) else make_evaluator(file)))
        except BadInput as e:
            mistakes.append(FileMistake(file.path, 1, str(e)))
    tried: list[Tried] = []
    cases: Sequence[Case] = ()
    if dataset is not None:
        cases = load(dataset).cases
        with terminal.progress(f"trying on {dataset}", len(ready)) as step:
            for file, evaluator in ready:
                tried.append(_try(file, evaluator, cases))
                step()
        mistakes += [
            FileMistake(t.path, 1, f"it could judge none of {count_of(t.errors, 'case')}: {t.first_error}")
            for t in tried
            if t.errors and not t.passed and not t.failed
        ]
    remarks = [r for file in read for r in _remarks(file)]
    if not files and not mistakes:
        remarks += _unused_code(evaluators, read)
    if json:
        terminal.emit(_json(paths, read, mistakes, remarks, tried))
    else:
        if tried:
            _show_tried(terminal, tried, len(cases))
        _show(terminal, paths, mistakes, remarks)
    if mistakes:
        raise typer.Exit(2)


def _read(paths: Iterable[Path]) -> tuple[list[EvaluatorFile], list[FileMistake]]:
    read: dict[str, EvaluatorFile] = {}
    mistakes: list[FileMistake] = []
    for path in paths:
        try:
            file = read_evaluator(path)
        except WrongFile as e:
            mistakes.extend(e.mistakes)
        except BadInput as e:
            mistakes.append(FileMistake(path, 1, str(e).removeprefix(f"{path} ").removeprefix(f"{path}: ")))
        else:
            if (taken := read.setdefault(file.spec.id, file)) is not file:
                mistakes.append(FileMistake(path, 1, f"the id {file.spec.id!r} is taken by {taken.path}"))
    return list(read.values()), mistakes


def _try(file: EvaluatorFile, evaluator: Evaluator | None, cases: Sequence[Case]) -> Tried:
    tried = Tried(file.path, file.spec.id)
    if evaluator is None:
        tried.skipped = "a judge, which asks a model: evalgate evals align"
        return tried
    for case in cases:
        output = observed_output(case)
        if output is None or not file.spec.applies(case):
            tried.not_judged += 1
            continue
        answer = evaluator(case, output)
        if isinstance(answer, EvaluatorError):
            tried.errors += 1
            tried.first_error = tried.first_error or f"{case.case_id}: {answer.message}"
        elif answer.passed:
            tried.passed += 1
        else:
            tried.failed += 1
    return tried


def _remarks(file: EvaluatorFile) -> Iterator[str]:
    """Yield what is no mistake and yet worth a word."""
    for pattern in _patterns(body_to_json(file.spec.body)):
        if most_steps(pattern, LONG_OUTPUT_CHARS) > MAX_STEPS_HERE:
            yield (
                f"{file.path}: /{pattern}/ may take very long on some outputs, so it runs in a process of its own, "
                "with a deadline; a pattern without repeats inside repeats is faster"
            )
    if file.spec.mcc_score is not None and not _is_measured(file.spec):
        yield f"{file.path}: mcc_score grants nothing; evalgate evals align measures it"
    made = file.spec.generated
    if made is not None and made.version not in (None, file.spec.version):
        yield f"{file.path}: it was changed since it was generated; measure it: evalgate evals align {file.spec.id}"


def _is_measured(spec: EvaluatorSpec) -> bool:
    """Tell whether the MCC that a generated file states is the one that was measured when it was generated."""
    if spec.generated is None or spec.mcc_score is None:
        return False
    mccs = [m.confusion.mcc for m in read_measurements(spec.id) if m.version == spec.version]
    return any(mcc is not None and abs(mcc - spec.mcc_score) < ROUNDED for mcc in mccs)


def _unused_code(folder: Path, read: Sequence[EvaluatorFile]) -> list[str]:
    """Return a remark for each Python file that no evaluator names."""
    used = {f.path.parent / f.spec.body.path for f in read if isinstance(f.spec.body, Code)}
    return [
        f"{path}: no evaluator names it (code: {path.name})" for path in sorted(folder.glob("*.py")) if path not in used
    ]


def _patterns(value: Any) -> list[str]:
    """Return every pattern of a body as a file says it, each once."""
    found = patterns_of(value)
    waiting = [value]
    while waiting:
        item = waiting.pop()
        inner = list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else []
        waiting.extend(inner)
        if isinstance(item, dict) and isinstance(own := item.get("argument_patterns"), dict):
            found.extend(p for p in own.values() if isinstance(p, str))
    return list(dict.fromkeys(found))


def _show(terminal: Terminal, paths: Sequence[Path], mistakes: Sequence[FileMistake], remarks: Sequence[str]) -> None:
    for mistake in mistakes:
        terminal.say(str(mistake))
    for remark in remarks:
        terminal.note(remark)
    if mistakes:
        wrong = len({m.path for m in mistakes})
        terminal.say(f"{count_of(len(mistakes), 'mistake')} in {count_of(wrong, 'file')} of {len(paths)}")
    else:
        terminal.say(f"{count_of(len(paths), 'file')}, no mistake")


def _show_tried(terminal: Terminal, tried: Sequence[Tried], cases: int) -> None:
    rows = [
        (t.id, "–", "–", "–", "–", t.skipped)
        if t.skipped
        else (t.id, str(t.passed), str(t.failed), str(t.errors), str(t.not_judged), t.first_error or "")
        for t in tried
    ]
    terminal.table(("evaluator", "pass", "fail", "errors", "not judged", "remark"), rows)
    silent = [t.id for t in tried if not t.skipped and t.not_judged == cases]
    if silent:
        names = ", ".join(silent)
        terminal.note(f"no case of the dataset is the business of {names}: see applies_to, and what it compares with")


def _json(
    paths: Sequence[Path],
    read: Sequence[EvaluatorFile],
    mistakes: Sequence[FileMistake],
    remarks: Sequence[str],
    tried: Sequence[Tried],
) -> dict[str, Any]:
    outcome = {t.id: t for t in tried}
    kinds = Counter("plugin" if isinstance(f.spec.body, Plugin) else str(f.spec.eval_type) for f in read)
    return {
        "files": len(paths),
        "kinds": dict(kinds),
        "mistakes": [{"path": str(m.path), "line": m.line, "message": m.message} for m in mistakes],
        "remarks": list(remarks),
        "evaluators": [
            {
                "id": f.spec.id,
                "path": str(f.path),
                "version": f.spec.version,
                "tried": None if (t := outcome.get(f.spec.id)) is None else _tried_json(t),
            }
            for f in read
        ],
    }


def _tried_json(tried: Tried) -> dict[str, Any]:
    return {
        "passed": tried.passed,
        "failed": tried.failed,
        "errors": tried.errors,
        "not_judged": tried.not_judged,
        "first_error": tried.first_error,
        "skipped": tried.skipped,
    }
