"""Evaluator files: their text, what it says, and in which line a mistake stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml

from evalgate.errors import BadInput
from evalgate.evaluators.plugins import find_plugin, release_of
from evalgate.files import read_text
from schema.evaluator import Code, EvaluatorSpec, Mistake, Mistaken, Plugin, parse_evaluator, source_hash

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from schema.evaluator.form import Path as KeyPath

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EvaluatorFile:
    """One evaluator file, read."""

    path: Path
    spec: EvaluatorSpec
    source: str | None = None
    """The text of its code, where it is code."""


@dataclass(frozen=True, slots=True)
class FileMistake:
    """One mistake, where a person finds it."""

    path: Path
    line: int
    """From 1."""
    message: str

    def __str__(self) -> str:
        return f"{self.path} line {self.line}: {self.message}"


class WrongFile(BadInput):
    """A file has mistakes; `mistakes` are all of them."""

    def __init__(self, path: Path, mistakes: Iterable[FileMistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(f"{path} " + "; ".join(f"line {m.line}: {m.message}" for m in self.mistakes))


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently keep the last, and aliases, which can explode."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs lack it
            raise yaml.composer.ComposerError(None, None, "an alias; write the value out", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base's signature
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not a text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_evaluator(path: Path) -> EvaluatorFile:
    """Read one evaluator file, and the code beside it.

    Raises:
        WrongFile: it has mistakes: all of them, with their lines.
        BadInput: it cannot be read.

    """
    text = read_text(path)
    if len(text) > MAX_FILE_BYTES:
        raise BadInput(f"{path} is larger than an evaluator can be: {len(text)} of {MAX_FILE_BYTES} characters")
    value, root = _read_yaml(path, text)

    def wrong(mistakes: Iterable[Mistake]) -> WrongFile:
        found = [FileMistake(path, _line(root, m.path), m.message) for m in mistakes]
        return WrongFile(path, sorted(found, key=lambda m: m.line))

    try:
        spec = parse_evaluator(value)
    except Mistaken as e:
        raise wrong(e.mistakes) from None
    try:
        if isinstance(spec.body, Code):
            return _with_code(path, spec, spec.body)
        if isinstance(spec.body, Plugin):
            release = release_of(find_plugin(spec.body.name))
            return EvaluatorFile(path, replace(spec, body=replace(spec.body, release=release)))
    except ValueError as e:
        raise wrong([Mistake(("code" if isinstance(spec.body, Code) else "use",), str(e))]) from None
    return EvaluatorFile(path, spec)


def read_evaluators(folder: Path) -> tuple[EvaluatorFile, ...]:
    """Read every *.yaml of a folder, in the order of their ids; none is no error.

    Raises:
        BadInput: a file that is wrong, or one id twice.

    """
    found: dict[str, EvaluatorFile] = {}
    for path in evaluator_paths(folder):
        read = read_evaluator(path)
        name = read.spec.id
        if name in found:
            raise BadInput(f"{path}: the id {name!r} is taken by {found[name].path}")
        found[name] = read
    return tuple(found[name] for name in sorted(found))


def evaluator_paths(folder: Path) -> list[Path]:
    """Return the evaluator files of a folder, by name."""
    return sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")}) if folder.is_dir() else []


def _with_code(path: Path, spec: EvaluatorSpec, code: Code) -> EvaluatorFile:
    from evalgate.evaluators.code import check_source  # noqa: PLC0415 - ast and the sandbox; few evaluators are code

    beside = path.parent / code.path
    try:
        source = read_text(beside)
    except BadInput as e:
        raise ValueError(str(e)) from None
    check_source(source, code.path)
    hashed = replace(code, source_hash=source_hash(source.encode()))
    return EvaluatorFile(path, replace(spec, body=hashed), source)


def _read_yaml(path: Path, text: str) -> tuple[Any, yaml.Node | None]:
    try:
        loader = _Loader(text)
    except yaml.YAMLError as e:  # a control character, before anything is parsed
        raise _no_yaml(path, e) from None
    try:
        root = loader.get_single_node()
        return (None if root is None else loader.construct_document(root)), root
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise _no_yaml(path, e) from None
    finally:
        loader.dispose()


def _line(root: yaml.Node | None, path: KeyPath) -> int:
    """Return the line of the last key of a path that the file has."""
    node, line = root, 0 if root is None else root.start_mark.line
    for key in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == key), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _no_yaml(path: Path, error: Exception) -> WrongFile:
    """Return what is wrong with a file that cannot be read, with its line where it is told."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, told = error.problem_mark.line + 1, error.problem or error.context
    else:
        line, told = 1, str(error).splitlines()[0] if str(error) else type(error).__name__
    return WrongFile(path, [FileMistake(path, line, f"is not YAML: {told}")])
