"""The Python form of a rule: one file that needs nothing but Python, and gives the verdicts of the rule.

The file is made of the source of the checks it needs and of the rule's values, written as literals: nothing of an
evaluator file becomes code. Two things differ, and the file says so: patterns have no deadline in it, and a JSON Schema
is read by a small reader, so that one with other keywords has no Python form.
"""

from __future__ import annotations

import dis
import inspect
import re
import types
from typing import TYPE_CHECKING, Any

from evalgate.evaluators.checks import calls, data, likeness, text
from evalgate.evaluators.patterns import foreign_keywords
from evalgate.evaluators.rules import call_of
from evalgate.terminal import one_line
from schema.evaluator import RULE_TYPES, Combined, JsonSchema, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema.evaluator import EvaluatorSpec

MODULES = (text, data, likeness, calls)
"""In the order in which their functions stand in the file."""
LINE_CHARS = 120

HEAD = '''"""{title}

Made from evaluator {id!r}, version {version}. It needs Python 3.11 and nothing else:

    python {file} < case.json                   judges what production did (`observed`)
    python {file} < case_and_output.json        judges {{"case": ..., "output": ...}}

It prints {{"score", "passed", "reason"}} and exits 0 if it passed, 1 if it failed, 2 if nothing can be said.
Beside an evaluator file it is `code: {file}`. Patterns have no deadline here.
"""

from __future__ import annotations

{imports}
'''
FOOT = '''

def complete(value: Any) -> dict[str, Any]:
    """Return an output with every field."""
    given = {"text": value} if isinstance(value, str) else dict(value)
    if "text" not in given:
        given["text"] = given.pop("output", None) or ""
    fields = {"tool_calls": [], "finish_reason": None, "output_tokens": None, "cost_usd": None}
    return {**fields, **{name: v for name, v in given.items() if v is not None}}


def complete_case(case: Any) -> dict[str, Any]:
    """Return a case with what may be compared with."""
    expected, observed = dict(case.get("expected") or {}), dict(case.get("observed") or {})
    seen = observed.get("output") is not None or bool(observed.get("tool_calls"))
    return {
        **case,
        "expected": {"output": expected.get("output"), "tool_calls": expected.get("tool_calls")},
        "observed": {
            "output": observed.get("output"),
            "tool_calls": (observed.get("tool_calls") or []) if seen else None,
        },
    }


def main() -> int:
    """Judge what stands on standard input."""
    try:
        given = json.load(sys.stdin)
        case = given.get("case", given)
        output = given["output"] if "case" in given else case["observed"]
        verdict = evaluate(case, output)
    except Exception as e:
        print(json.dumps({"error": f"{type(e).__name__}: {e}"}))
        return 2
    print(json.dumps(verdict))
    return 0 if verdict["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
'''


def python_form(spec: EvaluatorSpec, *, file: str | None = None) -> str:
    """Return the text of the file.

    Raises:
        ValueError: this evaluator has no Python form.

    """
    rule = spec.body
    if not isinstance(rule, RULE_TYPES):
        raise ValueError(f"{spec.id!r} is not a rule; only rules have a Python form")  # noqa: TRY004 - a value
    _check_schemas(rule)
    needed = _closure(_functions(rule))
    head = HEAD.format(
        title=_plain(spec.description or f"Guards against {spec.failure_mode}."),
        id=spec.id,
        version=spec.version,
        file=file or f"{spec.id}.py".replace("-", "_"),
        imports="\n".join(_imports(needed)),
    )
    parts = [head, *(_source(name, value) for name, value in needed), _evaluate(rule)]
    return "\n\n".join(p.strip("\n") + "\n" for p in parts) + FOOT


def _evaluate(rule: Rule) -> str:
    lines = [
        "def evaluate(case: Any, output: Any) -> dict[str, Any]:",
        '    """Return the score of an output."""',
        "    case, output = complete_case(case), complete(output)",
        f"    passed, reason = {_expression(rule, 4).lstrip()}",
        '    return {"score": 1.0 if passed else 0.0, "passed": passed, "reason": " ".join(reason.split())[:300]}',
    ]
    return "\n".join(lines)


def _expression(rule: Rule, indent: int) -> str:
    """Return the call that a rule is, over several lines where one is too long."""
    if isinstance(rule, Combined):
        name = "any_of" if rule.any_of else "all_of"
        arguments = [_expression(r, indent + 4).strip() for r in rule.rules]
    else:
        call = call_of(rule)
        name = call.function.__name__
        arguments = [
            *map(str, call.subjects),
            *map(_literal, call.values),
            *(f"{key}={_literal(value)}" for key, value in call.named.items()),
        ]
    line = f"{' ' * indent}{name}({', '.join(arguments)})"
    if len(line) <= LINE_CHARS - len("passed, reason = ") and "\n" not in line:
        return line
    inner = "".join(f"{' ' * (indent + 4)}{a},\n" for a in arguments)
    return f"{' ' * indent}{name}(\n{inner}{' ' * indent})"


def _literal(value: Any) -> str:
    """Return a JSON value as Python writes it; ASCII, so that no editor and no terminal acts on it."""
    return ascii(value)


def _plain(text: str) -> str:
    """Return a text that can stand in a docstring."""
    return one_line(text).encode("ascii", "replace").decode().replace("\\", "/").replace('"', "'")


def _functions(rule: Rule) -> set[str]:
    if isinstance(rule, Combined):
        return {"any_of" if rule.any_of else "all_of"}.union(*map(_functions, rule.rules))
    return {call_of(rule).function.__name__}


def _closure(names: Iterable[str]) -> list[tuple[str, Any]]:
    """Return the functions and constants that these need, in the order of their files."""
    known = {name: value for module in MODULES for name, value in vars(module).items() if _is_ours(module, name, value)}
    wanted, open_names = set(), list(names)
    while open_names:
        name = open_names.pop()
        if name in known and name not in wanted:
            wanted.add(name)
            if isinstance(known[name], types.FunctionType):
                open_names.extend(_names_in(known[name].__code__))
                open_names.extend(f.__name__ for f in _defaults(known[name]))
    constants = [(n, v) for n, v in known.items() if n in wanted and not isinstance(v, types.FunctionType)]
    return constants + [(n, v) for n, v in known.items() if n in wanted and isinstance(v, types.FunctionType)]


def _is_ours(module: types.ModuleType, name: str, value: Any) -> bool:
    if isinstance(value, types.FunctionType):
        return value.__module__ == module.__name__
    return name.isupper() and isinstance(value, (int, tuple, dict))


def _names_in(code: types.CodeType) -> set[str]:
    """Return the globals that some code reads, and the code inside it."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}.union(*map(_names_in, inner))


def _defaults(function: types.FunctionType) -> list[types.FunctionType]:
    values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [v for v in values if isinstance(v, types.FunctionType)]


def _imports(needed: list[tuple[str, Any]]) -> list[str]:
    functions = [v for _, v in needed if isinstance(v, types.FunctionType)]
    used = {"json", "sys"}.union(*(_names_in(f.__code__) & {"re", "math"} for f in functions))
    hints = {word for f in functions for hint in f.__annotations__.values() for word in re.findall(r"\w+", hint)}
    lines = [f"import {name}" for name in sorted(used)]
    if hints & {"Callable", "Search"}:
        lines.append("from collections.abc import Callable")
    lines.append("from typing import Any")
    return [*lines, "", "Search = Callable[..., Any]"] if "Search" in hints else lines


def _source(name: str, value: Any) -> str:
    return inspect.getsource(value) if isinstance(value, types.FunctionType) else f"{name} = {value!r}"


def _check_schemas(rule: Rule) -> None:
    if isinstance(rule, Combined):
        for inner in rule.rules:
            _check_schemas(inner)
    if isinstance(rule, JsonSchema):
        foreign = sorted(foreign_keywords(rule.schema))
        if foreign:
            raise ValueError(f"its JSON Schema uses {', '.join(foreign)}, which the Python form does not read")
