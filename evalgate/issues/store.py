"""`evals/issues.jsonl`: the issues as they stood when it was written, for those who have no database, such as CI."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from evalgate.files import read_jsonl, to_json_line, write_atomic
from schema.issue import Issue, issue_to_json, parse_issue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema.case import Case, Provenance

ISSUES: Final = Path("evals/issues.jsonl")


def read_issues(path: Path = ISSUES) -> tuple[Issue, ...]:
    """Return the issues of the snapshot by id; none where there is no file.

    Raises:
        BadInput: a line is no issue, or an id or a failure mode stands twice.

    """
    if not path.is_file():
        return ()
    found: dict[int, Issue] = {}
    for number, value in read_jsonl(path):
        try:
            if isinstance(value, ValueError):
                raise value
            issue = _new(parse_issue(value), found.values())
        except ValueError as e:
            raise BadInput(f"{path}, line {number}: {e}. Write it anew: evalgate issues export") from None
        found[issue.id] = issue
    return tuple(found[i] for i in sorted(found))


def write_issues(issues: Iterable[Issue], path: Path = ISSUES) -> bool:
    """Replace the snapshot in one step; False: it says this already."""
    text = "".join(to_json_line(issue_to_json(i)) + "\n" for i in sorted(issues, key=lambda i: i.id))
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except (OSError, UnicodeDecodeError):
        pass
    write_atomic(path, text)
    return True


def with_standing(issues: Iterable[Issue], known: Iterable[Issue]) -> list[Issue]:
    """Return issues with the evaluators that an earlier snapshot has of them, and its status where that is younger."""
    before = {i.id: i for i in known}
    found = []
    for issue in issues:
        old = before.get(issue.id)
        if old is None or old.failure_mode != issue.failure_mode:
            found.append(issue)
        elif issue.since is None or (old.since or "") > issue.since:
            found.append(replace(issue, status=old.status, since=old.since, evaluators=old.evaluators))
        else:
            found.append(replace(issue, evaluators=old.evaluators))
    return found


def issues_of_cases(cases: Iterable[Case], known: Iterable[Issue] = ()) -> list[Issue]:
    """Return the issues that cases of files show, with the ids of the snapshot; others get the numbers after them.

    For projects without a database: occurrences are cases, the times those of their traces, else of their labels.
    """
    before = {i.failure_mode: i for i in known}
    by_mode: dict[str, list[Case]] = {}
    for case in cases:
        if case.failure_mode:
            by_mode.setdefault(case.failure_mode, []).append(case)
    issues = dict(before)
    last = max((i.id for i in before.values()), default=0)
    for mode, own in sorted(by_mode.items()):
        if mode not in issues:
            last += 1
        met = [c for c in own if c.provenance.synthesis is None]  # nobody met a variant
        times = [at for c in met if (at := _met_at(c.provenance))]
        old = before.get(mode) or Issue(last, mode)
        issues[mode] = replace(
            old,
            first_seen=min([*times, *([old.first_seen] if old.first_seen else [])], default=None),
            last_seen=max([*times, *([old.last_seen] if old.last_seen else [])], default=None),
            occurrences=max(len(met), old.occurrences),
            cases=tuple(sorted({c.case_id for c in own} | set(old.cases))),
        )
    return sorted(issues.values(), key=lambda i: i.id)


def _met_at(made: Provenance) -> str | None:
    """Return when its trace began: not later than it was labelled, whatever the clock of its application said."""
    return min(filter(None, (made.start_time, made.labelled_at)), default=None)


def _new(issue: Issue, others: Iterable[Issue]) -> Issue:
    for other in others:
        if issue.id == other.id or issue.failure_mode == other.failure_mode:
            raise ValueError(f"issue {other.id} ({other.failure_mode}) stands twice")
    return issue
