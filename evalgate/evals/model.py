"""`evalgate model`: the endpoint that judges, looked at before anything rests on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from evalgate.errors import BadInput
from evalgate.model.options import PATIENCE, ModelOptions, Models, open_from_options, with_model_options
from evalgate.model.retry import RetryPolicy
from evalgate.options import Json, new_app
from evalgate.terminal import Terminal

if TYPE_CHECKING:
    from evalgate.evals.endpoint import Checked

STRUCTURED = {
    "json_schema": "by JSON Schema",
    "json_object": "as any JSON; the form is asked for in words",
    "none": "not supported; the form is asked for in words",
}
UNUSABLE = 1
SHOWN_MODELS = 20


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app("Look at the endpoint that judges.")
    group.callback()(lambda: None)  # a group of one command stays a group
    group.command("check")(check)
    app.add_typer(group, name="model")


@with_model_options
def check(
    *,
    models: ModelOptions,
    long: Annotated[
        bool, typer.Option("--long", help="Also with answers of 60 000 characters: a short context loses the criteria.")
    ] = False,
    json: Json = False,
) -> None:
    """Ask the endpoint to judge a right and a wrong answer, and say what works. Exits 1 where it cannot judge."""
    from evalgate.evals.endpoint import check_model  # noqa: PLC0415 - evaluators, only here

    terminal = Terminal()
    opened = open_from_options(models, retry=RetryPolicy(attempts=PATIENCE))
    try:
        model = opened.chat()
    except BadInput as e:
        if models.judge_model:
            raise
        raise BadInput(_with_offer(str(e), opened)) from None
    with terminal.progress(f"asking {model.name}", 1) as step:
        checked = check_model(model, with_long=long)
        step()
    if not checked.answers:
        raise BadInput(_with_offer(str(checked.error), opened))
    if json:
        terminal.emit({"url": opened.settings.base_url, **asdict(checked), "is_usable": checked.is_usable})
    else:
        _show(terminal, opened, checked)
    if not checked.is_usable:
        raise typer.Exit(UNUSABLE)


def _show(terminal: Terminal, opened: Models, checked: Checked) -> None:
    cost = "of unknown price; give it with --judge-price" if checked.cost_usd is None else f"${checked.cost_usd:.6f}"
    tokens = (
        "not told by the endpoint"
        if checked.input_tokens is None
        else f"{checked.input_tokens} in, {checked.output_tokens} out"
    )
    rows = [
        ("endpoint", opened.settings.base_url),
        ("model", checked.model),
        ("first answer", f"{checked.latency_ms:.0f} ms, {cost}"),
        ("tokens", tokens),
        ("structured output", STRUCTURED[checked.structured_output or "none"]),
        ("length limit", str(checked.max_tokens)),
        ("temperature 0", "taken" if checked.temperature else "refused; verdicts may vary, use repeats"),
        ("verdict alone", "yes" if checked.is_bare else "no: something stands around it"),
    ]
    rows += [
        (name, f"{score.score:g}: {score.reason}")
        for name, score in (("right answer", checked.right), ("wrong answer", checked.wrong))
        if score
    ]
    if checked.reads_long is not None:
        rows.append(
            ("long answers", "read whole" if checked.reads_long else "not judged rightly: is the context long enough?")
        )
    terminal.table(("asked", "found"), rows)
    if checked.is_usable:
        terminal.say("it can judge. How well, its agreement with people says: evalgate evals align")
    else:
        terminal.say(f"it cannot judge: {checked.error or _weakness(checked)}")


def _weakness(checked: Checked) -> str:
    where = " where it is long" if checked.reads_long is False else ""
    return f"it does not tell a right answer from a wrong one{where}"


def _with_offer(message: str, opened: Models) -> str:
    """Return the message, and the models that the endpoint has, where it says so."""
    from evalgate.model.transport import SdkTransport, require_extra  # noqa: PLC0415 - only after an error

    require_extra()
    if opened.settings.key is None and not opened.settings.is_loopback:
        return message
    names = SdkTransport(opened.settings).list_models()
    more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
    end = "" if message.endswith((".", "?")) else "."
    return f"{message}{end} The endpoint has: {', '.join(names[:SHOWN_MODELS])}{more}" if names else message
