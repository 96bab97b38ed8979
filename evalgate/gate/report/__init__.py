"""The ways out of the gate: one report, rendered for people, programs, CI runners, viewers and browsers.

    report = gather(run, path, decision, base=base)      reads lines, chains and hashes; never raises for a file
    print_text(terminal, report)                         on a terminal, as wide as it is
    render(Kind.SARIF, report)                           the whole document as text, ending in a newline
    render_error(Kind.SARIF, message)                    where there was nothing to decide on

Every rendering is pure, the same text for the same report, and treats names, inputs, outputs and reasons as data.
"""

from __future__ import annotations

import io
from enum import StrEnum

from evalgate.gate.report.github import workflow_commands
from evalgate.gate.report.markdown import SUMMARY_CHARS, error_markdown, markdown
from evalgate.gate.report.model import Report, Source, Sources, Terms, gather, lasting
from evalgate.gate.report.payload import error_payload, report_json, to_text
from evalgate.gate.report.text import print_text
from evalgate.terminal import Terminal, one_line

__all__ = [
    "Kind",
    "Report",
    "Source",
    "Sources",
    "Terms",
    "error_payload",
    "gather",
    "lasting",
    "print_text",
    "render",
    "render_error",
    "report_json",
    "step_summary",
    "to_text",
    "workflow_commands",
]


class Kind(StrEnum):
    """What a report can be rendered as."""

    TEXT = "text"
    """For people."""
    JSON = "json"
    """`evalgate/gate/2`."""
    GITHUB = "github"
    """Text with annotations for a GitHub runner among it."""
    JUNIT = "junit"
    SARIF = "sarif"
    MARKDOWN = "markdown"
    """For a comment on a pull request: at most 60 000 characters."""
    HTML = "html"
    """One self-contained page."""


def render(kind: Kind, report: Report) -> str:
    """Return the whole document."""
    match kind:
        case Kind.TEXT | Kind.GITHUB:
            out = io.StringIO()
            commands = workflow_commands(report) if kind is Kind.GITHUB else ()
            print_text(Terminal(out, out), report, commands)
            return out.getvalue()
        case Kind.JSON:
            return to_text(report_json(report))
        case Kind.JUNIT:
            from evalgate.gate.report.junit import junit  # noqa: PLC0415 - loaded when it is asked for

            return junit(report)
        case Kind.SARIF:
            from evalgate.gate.report.sarif import sarif  # noqa: PLC0415 - as above

            return sarif(report)
        case Kind.MARKDOWN:
            return markdown(report)
        case Kind.HTML:
            from evalgate.gate.report.html import html  # noqa: PLC0415 - as above

            return html(report)


def render_error(kind: Kind, message: str) -> str:
    """Return the document that says why there was nothing to decide on."""
    match kind:
        case Kind.TEXT | Kind.GITHUB:
            return f"GATE ERROR: {one_line(message)}\n"
        case Kind.JSON:
            return to_text(error_payload(message))
        case Kind.JUNIT:
            from evalgate.gate.report.junit import error_junit  # noqa: PLC0415 - loaded when it is asked for

            return error_junit(message)
        case Kind.SARIF:
            from evalgate.gate.report.sarif import error_sarif  # noqa: PLC0415 - as above

            return error_sarif(message)
        case Kind.MARKDOWN:
            return error_markdown(message)
        case Kind.HTML:
            from evalgate.gate.report.html import error_html  # noqa: PLC0415 - as above

            return error_html(message)


def step_summary(report: Report, among: int = 1) -> str:
    """Return the report for the summary page of a CI step, which so many reports share."""
    return markdown(report, SUMMARY_CHARS // among)
