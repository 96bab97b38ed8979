"""Evaluator files that name a failure mode: which line, and the file with another name, every other byte as it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from evalgate.errors import BadInput
from evalgate.evaluators.files import evaluator_paths
from evalgate.files import write_atomic
from schema.verdict import failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mention:
    """A line of an evaluator file that names a mode."""

    path: Path
    line: int
    """From 1."""
    before: str
    after: str


def mentions(folder: Path, old: str, new: str) -> list[Mention]:
    """Return the lines to change where a mode is called something else; a file that is no YAML names nothing."""
    found = []
    for path in evaluator_paths(folder):
        text = _text(path)
        changed = _renamed(text, old, new).splitlines()
        for number, (before, after) in enumerate(zip(text.splitlines(), changed, strict=True), 1):
            if before != after:
                found.append(Mention(path, number, before.strip(), after.strip()))
    return found


def rewrite(folder: Path, old: str, new: str) -> list[Path]:
    """Change these lines, and nothing else; return the files.

    Raises:
        BadInput: a file cannot be written.

    """
    written = []
    for path in evaluator_paths(folder):
        text = _text(path)
        changed = _renamed(text, old, new)
        if changed != text:
            write_atomic(path, changed)
            written.append(path)
    return written


def _renamed(text: str, old: str, new: str) -> str:
    """Return the text with `failure_mode`, `coverage_target` and `applies_to.failure_mode` that say the old name."""
    for start, end in sorted(_places(text, old), reverse=True):
        text = f"{text[:start]}{_scalar(new)}{text[end:]}"
    return text


def _places(text: str, old: str) -> Iterator[tuple[int, int]]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return
    if not isinstance(root, yaml.MappingNode):
        return
    for key, value in root.value:
        if key.value in ("failure_mode", "coverage_target"):
            yield from _saying(value, old)
        elif key.value == "applies_to" and isinstance(value, yaml.MappingNode):
            for inner, said in value.value:
                if inner.value == "failure_mode":
                    for node in said.value if isinstance(said, yaml.SequenceNode) else [said]:
                        yield from _saying(node, old)


def _saying(node: yaml.Node, old: str) -> Iterator[tuple[int, int]]:
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        return
    try:
        name = failure_mode_of(node.value)
    except ValueError:
        return
    if name == old:
        yield node.start_mark.index, node.end_mark.index


def _scalar(name: str) -> str:
    """Return a name as YAML has it on one line, plain where that reads as this text, in lists and braces too."""
    plain = not set(name) & set("[]{},&*#?|<>=!%@`\"'\\:") and not name.startswith(("-", " "))
    return name if plain and yaml.safe_load(name) == name else json.dumps(name, ensure_ascii=False)


def _text(path: Path) -> str:
    """Return a file with its line ends as they are."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot read {path}: {e}") from None
