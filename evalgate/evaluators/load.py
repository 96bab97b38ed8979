"""Evaluator files: read strictly, all or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from evalgate.errors import BadInput
from evalgate.evaluators.rules import RuleEvaluator
from evalgate.files import read_text
from schema.evaluator import Evaluator, parse_evaluator

EVALUATORS = Path("evals/evaluators")


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently keep the last."""

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


def load_evaluators(folder: Path = EVALUATORS) -> tuple[Evaluator, ...]:
    """Read every *.yaml of a folder, in the order of their ids.

    Raises:
        BadInput: no folder, no file in it, a file that is wrong, or one id twice.

    """
    paths = sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")}) if folder.is_dir() else []
    if not paths:
        raise BadInput(
            f"there are no evaluators in {folder}. Write one, for example {folder}/no-90-days.yaml:  "
            "{id: no-90-days, failure_mode: policy_hallucination, rule: {type: not_contains, text: 90 days}}"
        )
    found: dict[str, tuple[Path, Evaluator]] = {}
    for path in paths:
        evaluator = load_evaluator(path)
        name = evaluator.spec.id
        if name in found:
            raise BadInput(f"{path}: the id {name!r} is taken by {found[name][0]}")
        found[name] = (path, evaluator)
    return tuple(found[name][1] for name in sorted(found))


def load_evaluator(path: Path) -> Evaluator:
    """Read one evaluator file.

    Raises:
        BadInput: naming the file and what is wrong in it.

    """
    text = read_text(path)
    try:
        value = yaml.load(text, _UniqueKeys)  # noqa: S506 - derives from SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise BadInput(f"{path} is not YAML: {_one_line(e)}") from None
    try:
        spec = parse_evaluator(value)
        _ = spec.version  # hashing finds what JSON cannot say
        return RuleEvaluator(spec)
    except (ValueError, TypeError) as e:
        raise BadInput(f"{path}: {e}") from None


def _one_line(error: BaseException) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
