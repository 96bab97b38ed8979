"""`evalgate agreement`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.database import open_tenant
from evalgate.options import Dsn, Json, Since, Tenant, since_time
from evalgate.review.agreement import agreement, reading_of, report_json
from evalgate.terminal import Terminal, count_of

if TYPE_CHECKING:
    from evalgate.review.agreement import AgreementReport
    from schema.statistics import Coefficient

MAX_DISAGREEMENTS_SHOWN = 20
QueueName = Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Only of this queue.")]


def agreement_command(
    *, queue: QueueName = None, since: Since = None, tenant: Tenant = None, dsn: Dsn = None, json: Json = False
) -> None:
    """Tell how far reviewers agree beyond chance, with intervals, and on which traces they do not."""
    terminal = Terminal()
    with open_tenant(dsn, tenant) as database:
        report = agreement(database, queue=queue, since=since_time(since, datetime.now(UTC)))
    if json:
        terminal.emit(report_json(report))
    else:
        _print_agreement(terminal, report)


def coefficient_words(found: Coefficient) -> str:
    """Return a coefficient with its interval, how many items it is of, and what it means."""
    if not found.n:
        return "–"
    same = f"{found.agreed} of {found.n} the same"
    if found.value is None or found.low is None or found.high is None:
        return f"{same}; {reading_of(found)}"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f}), {same}; {reading_of(found)}"


def _print_agreement(terminal: Terminal, report: AgreementReport) -> None:
    terminal.say(f"several people labelled {report.several} of {count_of(report.labelled, 'labelled trace')}")
    for sentence in report.sentences:
        terminal.say(sentence)
    if report.pairs:
        terminal.say()
        rows = [("all (Krippendorff's α)", report.verdicts, report.modes)]
        rows += [(f"{' and '.join(p.reviewers)} (Cohen's κ)", p.verdicts, p.modes) for p in report.pairs]
        terminal.table(
            ("who", "verdicts", "failure modes"),
            [(who, coefficient_words(verdicts), coefficient_words(modes)) for who, verdicts, modes in rows],
        )
    if report.per_mode:
        terminal.say()
        terminal.table(
            ("failure mode", "named", "by all", "agreement on it (alpha)"),
            [
                (m.failure_mode, str(m.named), str(m.named_by_all), coefficient_words(m.coefficient))
                for m in report.per_mode
            ],
        )
    if report.disagreements:
        terminal.say()
        terminal.table(
            ("trace", "what they say"),
            [
                (
                    d.trace_id[:16] + (f"/{d.span_id[:8]}" if d.span_id else ""),
                    "; ".join(
                        f"{s.annotator}: {s.verdict}{f', {s.failure_mode}' * bool(s.failure_mode)}" for s in d.said
                    ),
                )
                for d in report.disagreements[:MAX_DISAGREEMENTS_SHOWN]
            ],
        )
        if len(report.disagreements) > MAX_DISAGREEMENTS_SHOWN:
            terminal.say(f"… and {len(report.disagreements) - MAX_DISAGREEMENTS_SHOWN} more: --json")
