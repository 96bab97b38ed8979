"""Targets: what a run sends its cases to.

    python:package.module:function      called with the request as a dict, in this process
    python:path/to/file.py:function     the same, from a file; its folder (of a file in a package: that of the package)
                                        and the current one are importable
    cmd:program --flag                  the request as JSON on stdin, the output as text or JSON on stdout; no shell
    https://host/path                   the request is POSTed as JSON
    openai:MODEL                        a model behind an OpenAI-compatible endpoint, with --prompt or --system
    file:outputs.jsonl                  {"case_id", "output", "tool_calls"?} per line: outputs made elsewhere
    recorded                            what production answered

A target answers with a text, or with {"output": text, "tool_calls": [{"name", "arguments"}...]}. What it raises, or
its timeout, is an error of that case: infrastructure, never a bad score.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.files import read_json
from evalgate.run.replay import describe_tools
from evalgate.run.targets.function import PythonTarget, load_function
from evalgate.run.targets.program import CommandTarget
from evalgate.run.targets.recorded import load_outputs, recorded
from schema.fields import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from evalgate.model.chat import ChatModel
    from evalgate.run.targets.answer import Target
    from schema.case import Case

KINDS = ("python", "cmd", "http", "https", "openai", "file", "recorded")
FORMS = (
    "python:module:function, python:file.py:function, cmd:program, https://URL, openai:MODEL, "
    "file:outputs.jsonl or recorded"
)


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """What some kinds of target need beside their name."""

    prompt: Path | None = None
    system: Path | None = None
    tools: Path | None = None
    temperature: float | None = None
    headers: tuple[str, ...] = ()
    insecure: bool = False
    replay: bool = False
    models: Callable[[str], ChatModel] | None = None
    """Opens a model by its name; None: nobody can."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A target, and what makes it another one."""

    target: Target
    identity: Mapping[str, Any]
    """Two runs with the same identity ask the same thing, as far as can be known."""
    model: str | None = None
    prompt_hash: str | None = None
    is_cached: bool = False
    """Whether outputs are worth keeping, and only its identity and the request decide them."""


def load_target(text: str, cases: Sequence[Case] = (), options: TargetOptions = TargetOptions()) -> Loaded:
    """Return the target that `--target` names.

    Raises:
        BadInput: there is no such thing, or an option does not fit it; nothing was run.

    """
    kind, _, rest = text.partition(":")
    _check_options(kind, options)
    named: dict[str, Any] = {"target": text}
    match kind:
        case "python" if rest:
            function = load_function(rest)
            return Loaded(PythonTarget(function), named | _hashes([_source(rest)]))
        case "cmd" if rest.strip():
            try:
                words = tuple(shlex.split(rest))
            except ValueError as e:
                raise BadInput(f"--target {text!r} cannot be split into words: {e}") from None
            return Loaded(CommandTarget(words), named | _hashes(Path(part) for w in words for part in _parts(w)))
        case "http" | "https":
            from evalgate.run.targets.http import http_target  # noqa: PLC0415 - ssl and the HTTP client

            return Loaded(http_target(text, options.headers, insecure=options.insecure), named)
        case "openai" if rest.strip():
            return _model_target(rest.strip(), cases, options)
        case "file" if rest:
            return Loaded(load_outputs(Path(rest)), named | _hashes([Path(rest)]))
        case "recorded" if not rest:
            return Loaded(recorded(cases), named)
    near = "" if kind in KINDS else did_you_mean(kind, KINDS) if ":" in text else ""
    raise BadInput(f"--target {text!r} is not known; use {FORMS}.{near if 'Did' in near else ''}")


def _hashes(paths: Iterable[Path | None]) -> dict[str, dict[str, str]]:
    """Return what the files hold that a target is made of: with other content it is another target."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # no file, or none that one can read; a NUL is in no name
            if path is not None and path.is_file():
                with path.open("rb") as file:
                    found[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    return {"files": found} if found else {}


def _source(rest: str) -> Path | None:
    """Return the file of `file.py:function` or `module:function`; None: the module has none."""
    where = rest.rpartition(":")[0]
    if where.endswith(".py"):
        return Path(where)
    source = getattr(sys.modules.get(where), "__file__", None)
    return Path(source) if source else None


def _parts(word: str) -> tuple[str, ...]:
    """Return what of a word of a command line may be a file: all of it, or what follows `--option=`."""
    option, _, value = word.partition("=")
    return (word, value) if value and option.startswith("-") else (word,)


def _check_options(kind: str, options: TargetOptions) -> None:
    """Refuse what would silently do nothing."""
    of_models = {
        "--prompt": options.prompt,
        "--system": options.system,
        "--tools": options.tools,
        "--temperature": options.temperature,
    }
    if kind != "openai" and (given := [name for name, value in of_models.items() if value is not None]):
        raise BadInput(f"{given[0]} is for --target openai:MODEL; this target has its own prompt")
    if kind not in ("http", "https") and (options.headers or options.insecure):
        raise BadInput(f"{'--header' if options.headers else '--insecure-target'} is for --target https://URL")


def _model_target(name: str, cases: Sequence[Case], options: TargetOptions) -> Loaded:
    from evalgate.run.targets.model import ModelTarget  # noqa: PLC0415 - most runs ask no model
    from evalgate.run.targets.prompt import load_prompt  # noqa: PLC0415 - as above

    if options.models is None:
        raise BadInput("a model cannot be asked here")
    prompt = load_prompt(options.prompt, options.system)
    if options.tools:
        tools = _read_tools(options.tools)
    else:
        tools = describe_tools(c for case in cases for c in case.observed.tool_calls) if options.replay else []
    target = ModelTarget(options.models(name), prompt, tools, options.temperature)
    identity = {
        "target": f"openai:{name}",
        "prompt": prompt.hash,
        "tools": tools,
        "temperature": options.temperature,
    }
    return Loaded(target, identity, model=name, prompt_hash=prompt.hash, is_cached=True)


def _read_tools(path: Path) -> list[dict[str, Any]]:
    """Read a list of {name, description?, parameters}, or of chat completions' {type, function}."""
    value = read_json(path)
    items = value if isinstance(value, list) else []
    tools = [t.get("function", t) if isinstance(t, dict) else None for t in items]
    if not tools or not all(isinstance(t, dict) and isinstance(t.get("name"), str) for t in tools):
        raise BadInput(f"{path} must be a list of tools: {{name, description, parameters}}")
    return [t for t in tools if t is not None]
