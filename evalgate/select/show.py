"""A trace for people."""

from __future__ import annotations

from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evalgate.layout import Fit
from evalgate.select.reading import conversation, failed_spans, span_input, tree
from evalgate.select.traces import row_json
from evalgate.terminal import clean, count_of, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from evalgate.select.reading import Line
    from evalgate.select.traces import Trace, TraceRow
    from evalgate.terminal import Terminal

LIST_FITS = MappingProxyType(
    {"started (UTC)": Fit.WHOLE, "took": Fit.WHOLE, "spans": Fit.WHOLE, "why": Fit.ITEMS, "asked": Fit.CUT}
)
MAX_TEXT_CHARS = 4000
"""Of one message on the terminal; `--full` shows all."""


def trace_json(trace: Trace) -> dict[str, Any]:
    """Return the JSON object of `traces show --json`: everything, uncut."""
    return {
        "trace": row_json(trace.row),
        "spans": [{"depth": depth, **asdict(span)} for depth, span in tree(trace.spans)],
        "conversation": [asdict(line) for line in conversation(trace)],
        "failures": [
            {"span_id": s.span_id, "name": s.name, "problem": s.problem, "input": span_input(s)}
            for s in failed_spans(trace)
        ],
        "feedback": list(trace.feedback),
        "labels": list(trace.labels),
    }


def print_list(terminal: Terminal, rows: Sequence[TraceRow], asked: Mapping[str, str]) -> None:
    """Print a table of traces; what all of them have in common is said once, below."""
    columns = {
        "trace": [r.trace_id[:16] for r in rows],
        "started (UTC)": [r.start_time[:19].replace("T", " ") for r in rows],
        "service": [one_line(r.service_name, 24) for r in rows],
        "name": [one_line(r.root_name, 32) for r in rows],
        "took": [duration(r.duration_ms) for r in rows],
        "spans": [str(r.span_count) for r in rows],
        "why": [one_line(r.why, 80) for r in rows],
        "asked": [one_line(asked.get(r.trace_id, ""), 60) for r in rows],
    }
    common = {name: columns[name][0] for name in ("service", "name") if len(rows) > 1 and len(set(columns[name])) == 1}
    shown = {n: texts for n, texts in columns.items() if n not in common and (n not in ("why", "asked") or any(texts))}
    if rows:
        cells = list(zip(*shown.values(), strict=True))
        terminal.table(tuple(shown), cells, fits=LIST_FITS)
    if said := ", ".join(f"{name} {text}" for name, text in common.items() if text):
        terminal.say(f"all of them: {said}")


def print_trace(terminal: Terminal, trace: Trace, *, full: bool = False) -> None:
    """Print the tree, the conversation, what failed, what was said of it."""
    limit = None if full else MAX_TEXT_CHARS
    print_head(terminal, trace.row)
    print_tree(terminal, trace)
    print_conversation(terminal, conversation(trace), limit)
    print_failures(terminal, trace, limit)
    print_feedback(terminal, trace)
    for label in trace.labels:
        terminal.say(f"labelled {_label_words(label)}")


def print_head(terminal: Terminal, row: TraceRow) -> None:
    """Print what a reviewer wants to know first."""
    terminal.say(f"trace {row.trace_id}", style="bold")
    facts = {
        "why": row.why or "not flagged",
        "stands for": f"{row.sample_weight:.3g} traces" if row.sample_weight > 1 else "",
        "started": row.start_time.replace("T", " ").replace("+00:00", " UTC"),
        "took": duration(row.duration_ms),
        "service": row.service_name,
        "agent": row.agent_name,
        "feature": row.feature,
        "release": row.release,
        "environment": row.environment,
        "session": row.session_id,
        "user": row.user_id,
        "tokens": tokens(row.input_tokens, row.output_tokens).removesuffix(" tokens"),
        "defects": ", ".join(row.trace_defects),
    }
    for name, value in facts.items():
        if value:
            terminal.say(f"  {name:<12}{one_line(str(value))}", style="red" if name == "why" and row.failing else "")


def print_tree(terminal: Terminal, trace: Trace) -> None:
    """Print one line per span."""
    terminal.say(f"\nspans ({len(trace.spans)})", style="bold")
    for depth, span in tree(trace.spans):
        mark = "✗" if span.failing or span.error else "·"
        facts = [duration(span.duration_ms)]
        if span.model:
            facts.append(one_line(span.model, 40))
        if count := tokens(span.input_tokens, span.output_tokens):
            facts.append(count)
        facts += [one_line(d) for d in span.defects]
        problem = f"  {one_line(span.problem, 100)}" if mark == "✗" else ""
        indent = "  " * min(depth, 20)
        terminal.say(
            f"{mark} {indent}{span.kind}  {one_line(span.name, 60)}  ({', '.join(facts)}){problem}",
            style="red" if problem else "",
        )


def print_conversation(terminal: Terminal, lines: Iterable[Line], limit: int | None) -> None:
    """Print who said what; each line of a text stands behind a bar, so that it cannot pose as ours."""
    said = list(lines)
    terminal.say(
        "\nconversation" if said else "\nconversation: none recorded (is content capture on in the app?)", style="bold"
    )
    for line in said:
        terminal.say(one_line(line.role), style="cyan")
        _print_block(terminal, line.text, limit)


def print_failures(terminal: Terminal, trace: Trace, limit: int | None) -> None:
    """Print what failed with the exact input it had."""
    for span in failed_spans(trace):
        terminal.say(f"\nfailed: {span.kind} {one_line(span.name, 80)} (span {span.span_id})", style="bold red")
        if span.problem:
            _print_block(terminal, span.problem, limit)
        if text := span_input(span):
            terminal.say("its input")
            _print_block(terminal, text, limit)
        if span.tool_result is not None:
            terminal.say("its result")
            result = span.tool_result
            _print_block(terminal, result if isinstance(result, str) else one_line(str(result)), limit)


def print_feedback(terminal: Terminal, trace: Trace) -> None:
    """Print what users and evaluators said."""
    if trace.feedback:
        terminal.say("\nfeedback", style="bold")
    for f in trace.feedback:
        words = [str(f[k]) for k in ("label", "value", "comment") if f.get(k)]
        terminal.say(f"  {one_line(str(f['name']))}: {one_line(', '.join(words))} ({one_line(str(f['polarity']))})")


def duration(milliseconds: float) -> str:
    """Return a duration as people read it."""
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def tokens(given: int | None, made: int | None) -> str:
    """Return "120 in, 45 out"; empty where neither is known."""
    known = [f"{n} {word}" for n, word in ((given, "in"), (made, "out")) if n is not None]
    return ", ".join(known) + " tokens" if known else ""


def _print_block(terminal: Terminal, text: str, limit: int | None) -> None:
    shown = text if limit is None else text[:limit]
    for line in clean(shown).split("\n"):
        terminal.say(f"  │ {line}")
    if len(shown) < len(text):
        terminal.say(f"  │ … {count_of(len(text) - len(shown), 'more character')}: --full")


def _label_words(label: Any) -> str:
    mode = f", {one_line(label['failure_mode'])}" if label["failure_mode"] else ""
    by = f" by {one_line(label['annotator'])}" if label["annotator"] else ""
    comment = f": {one_line(label['comment'], 200)}" if label["comment"] else ""
    return f"{label['verdict']}{mode}{by}{comment}"
