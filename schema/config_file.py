"""Read a YAML configuration: environment variables expanded, every key and every mistake with the line it stands on.

    ${env:NAME}             the variable; it must be set
    ${env:NAME:-default}    the variable, or the default when it is unset or empty
    $$                      a dollar sign

A scalar that is one expansion and nothing else takes its type from the value, as YAML would read it. Source of the
forms: https://opentelemetry.io/docs/collector/configuration/#environment-variables. The Collector reads an unset
variable as empty; here it is an error, because an empty password or path does harm silently.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import ValidationError

Path = tuple[str | int, ...]

EXPANSION = re.compile(
    r"\$\$|\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{(?P<other>[^}]*)\}?"
)


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration file: its data, and where each part stands."""

    name: str
    data: dict[str, Any]
    lines: Mapping[Path, int]

    def where(self, path: Path) -> str:
        """Return "file:line: key.path" of a part, or of the nearest part above it that is in the file."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = f":{self.lines[known]}" if known in self.lines else ""
        return f"{self.name}{line}: {spell(path)}"


def spell(path: Path) -> str:
    """Return a path as people write it: `receivers.otlp.protocols`, `service.extensions[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _everything(_path: Path) -> bool:
    return True


def read(
    text: str, name: str, environment: Mapping[str, str], *, wanted: Callable[[Path], bool] = _everything
) -> Document:
    """Parse and expand; of what is not `wanted` there is nothing but the key.

    Raises:
        ConfigError: not YAML, a key twice, a variable that is not set.

    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as e:
        raise ConfigError(_yaml_message(name, e)) from None
    if root is None:
        raise ConfigError(f"{name}: the file is empty; it needs receivers, exporters and service.pipelines")
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name}: the file must hold keys and values, such as receivers: and service:")
    reader = _Reader(name, environment, wanted)
    data = reader.value(root, ())
    return Document(name, data, reader.lines)


class _Reader:
    """Turns nodes into Python values, noting lines."""

    def __init__(self, name: str, environment: Mapping[str, str], wanted: Callable[[Path], bool]) -> None:
        self._name = name
        self._wanted = wanted
        self._environment = environment
        self.lines: dict[Path, int] = {}

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node.value, str) and "$" in node.value:
            return self._expanded(node.value, path)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in values:
                line = key_node.start_mark.line + 1
                raise ConfigError(
                    f"{self._name}:{line}: {spell(here)} stands here a second time; first on line {self.lines[here]}"
                )
            self.lines[here] = key_node.start_mark.line + 1
            values[key] = self.value(value_node, here) if self._wanted(here) else None
        return values

    def _expanded(self, text: str, path: Path) -> Any:
        whole = EXPANSION.fullmatch(text)
        expanded = EXPANSION.sub(lambda m: self._replacement(m, path), text)
        if whole is None or whole["name"] is None:
            return expanded
        try:
            typed = yaml.safe_load(expanded)
        except yaml.YAMLError:
            return expanded
        return expanded if isinstance(typed, (dict, list)) else typed

    def _replacement(self, match: re.Match[str], path: Path) -> str:
        if match[0] == "$$":
            return "$"
        where = f"{self._name}:{self.lines.get(path, 1)}: {spell(path)}"
        if match["name"] is None:
            raise ConfigError(
                f"{where}: {match[0]!r} is not understood; "
                f"write ${{env:NAME}}, ${{env:NAME:-default}}, or $$ for a dollar"
            )
        value = self._environment.get(match["name"])
        if value:
            return value
        if match["default"] is not None:
            return match["default"]
        if value is None:
            raise ConfigError(
                f"{where}: the environment variable {match['name']} is not set; "
                f"set it, or write ${{env:{match['name']}:-}} if it may be empty"
            )
        return value


def _scalar(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def _yaml_message(name: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = f":{mark.line + 1}" if mark is not None else ""
    return f"{name}{line}: not valid YAML: {problem}"


def explain(error: ValidationError, model: type[BaseModel], document: Document, above: Path) -> list[str]:
    """Return one line per problem: file, line, key, what is wrong, what to do."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        location = problem["loc"]
        where = document.where((*above, *location))
        if problem["type"] == "extra_forbidden":
            fields = _fields_at(model, location[:-1])
            hint = suggest(str(location[-1]), fields) or f"; known here: {', '.join(fields)}" if fields else ""
            lines.append(f"{where}: unknown key{hint}")
        elif problem["type"] == "missing":
            lines.append(f"{where}: is missing")
        else:
            lines.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
    return lines


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that a model allows at a path inside it; none when the path leaves the models."""
    here: type[BaseModel] | None = model
    for part in location:
        if here is None or part not in here.model_fields:
            continue
        here = _model_in(here.model_fields[str(part)].annotation)
    return [f.alias or name for name, f in here.model_fields.items()] if here else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)


def suggest(word: str, known: Sequence[str]) -> str:
    """Return "; did you mean ...?" when something is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
