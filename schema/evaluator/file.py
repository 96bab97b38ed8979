"""Evaluator files: how a specification is read, and written back."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from schema.evaluator.form import Field, Form, Place
from schema.evaluator.kinds import EvalType, Evidence
from schema.evaluator.rule_forms import read_rule, rule_schema, rule_to_json
from schema.evaluator.spec import (
    RULE_TYPES,
    AppliesTo,
    Body,
    Code,
    EvaluatorSpec,
    Generated,
    Judge,
    JudgeExample,
    Plugin,
)
from schema.evaluator.values import (
    BOOLEAN,
    FAILURE_MODE,
    FILE_NAME,
    ID_NAME,
    OBJECT,
    SHARE,
    TEXT,
    Kind,
    choice,
    number,
    one_or_list,
    simple,
    whole,
    yaml_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_JUDGE_REPEATS = 100
MAX_OUTPUT_TOKENS = 100_000
UNPLAIN = re.compile(r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ufefe\uff00-\U0010ffff]")
"""Control characters and other newlines, which YAML reads as they stand only where they are escaped."""
BODIES = ("rule", "code", "judge", "use")


def _list_of(form: Form, what: str) -> Kind:
    def read(value: Any, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list, not {yaml_name(value)}")  # noqa: TRY004 - a mistake in a file
        return tuple(form.read(item, what, place.inner(n)) for n, item in enumerate(value))

    return Kind(read, {"type": "array", "items": form.schema()}, lambda items: [form.write(i) for i in items])


EXAMPLE = Form(
    JudgeExample,
    (Field("input", TEXT, default=None), Field("output", TEXT), Field("score", SHARE), Field("reasoning", TEXT)),
)
JUDGE = Form(
    Judge,
    (
        Field("criteria", TEXT, description="What makes an output good, in words."),
        Field(
            "prompt", TEXT, default=None, description="The whole of the instructions, in place of the product's own."
        ),
        Field("model", TEXT, default=None),
        Field("pass_at", number(0, 1, above=True), default=Judge("").pass_at),
        Field("repeats", whole(1, MAX_JUDGE_REPEATS), default=1),
        Field("examples", _list_of(EXAMPLE, "an example"), default=()),
        Field("max_output_tokens", whole(16, MAX_OUTPUT_TOKENS), default=Judge("").max_output_tokens),
    ),
)
GENERATED = Form(
    Generated,
    (
        Field("by", TEXT),
        Field("at", TEXT),
        Field("method", TEXT),
        Field("issue", whole(1, 10**9), default=None),
        Field("data_version", TEXT, default=None),
        Field("version", TEXT, default=None),
    ),
)


def _names(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(t, str) and t.strip() for t in items):
        raise ValueError("must be a name or a list of names")
    return tuple(items)


NAMES = simple(
    _names,
    {
        "anyOf": [
            {"type": "string", "pattern": "\\S"},
            {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "\\S"}},
        ]
    },
    one_or_list,
)


def _applies(**attributes: Any) -> AppliesTo:
    applies = AppliesTo(**attributes)
    if applies == AppliesTo():
        raise ValueError("names nothing; write all: true, failure_mode: NAME or feature: NAME")
    return applies


APPLIES_TO = Form(
    _applies,
    (
        Field("all", BOOLEAN, default=False),
        Field("failure_mode", NAMES, default=(), attribute="failure_modes"),
        Field("feature", NAMES, default=(), attribute="features"),
    ),
    also={
        "anyOf": [
            {"required": ["all"], "properties": {"all": {"const": True}}},
            {"required": ["failure_mode"]},
            {"required": ["feature"]},
        ]
    },
)


def applies_to_json(applies: AppliesTo) -> Any:
    """Return what a file says of the cases an evaluator judges."""
    return "all" if applies == AppliesTo(all=True) else APPLIES_TO.write(applies)


def _read_applies_to(value: Any, place: Place) -> Any:
    return AppliesTo(all=True) if value == "all" else APPLIES_TO.read(value, "applies_to", place)


def _inner(form: Form, what: str) -> Kind:
    return Kind(lambda value, place: form.read(value, what, place), form.schema(), form.write)


FIELDS = (
    Field("id", ID_NAME),
    Field("failure_mode", FAILURE_MODE, description="What it guards against."),
    Field("eval_type", choice(EvalType), default=None),
    Field("description", TEXT, default=None),
    Field("rule", Kind(read_rule, {"$ref": "#/$defs/rule"}, rule_to_json), default=None),
    Field("code", FILE_NAME, default=None, description="A Python file beside this one: def evaluate(case, output)."),
    Field("judge", _inner(JUDGE, "a judge"), default=None, description="A model that is asked for a score."),
    Field("use", TEXT, default=None, description="An evaluator of an installed package."),
    Field("with", OBJECT, default=None, description="The settings of that evaluator."),
    Field(
        "applies_to",
        Kind(_read_applies_to, {"anyOf": [{"const": "all"}, APPLIES_TO.schema()]}, applies_to_json),
        default=None,
        description="Which cases it judges; default: those of its failure mode.",
    ),
    Field("evidence", choice(Evidence), default=None, attribute="evidence_given"),
    Field("threshold", SHARE, default=None, description="The pass rate that the gate asks of it."),
    Field("must_not_break", BOOLEAN, default=False, description="One case that breaks fails the gate."),
    Field("coverage_target", TEXT, default=None, description="The issue it covers."),
    Field("mcc_score", number(-1, 1), default=None, description="It never grants permission; it can take it away."),
    Field("generated", _inner(GENERATED, "generated"), default=None),
)


def _spec(**said: Any) -> EvaluatorSpec:
    bodies = {name: said.pop(name) for name in BODIES}
    settings = said.pop("with")
    given = [name for name, body in bodies.items() if body is not None]
    if not given:
        raise ValueError("lacks 'rule' (or 'code', 'judge', 'use'): what makes an output good")
    if len(given) > 1:
        raise ValueError(f"has {' and '.join(map(repr, given))}; it can have one of them")
    if settings is not None and given != ["use"]:
        raise ValueError("has 'with', which says how an evaluator of another package is set; it lacks 'use'")
    value = bodies[given[0]]
    body: Body = value
    if given == ["code"]:
        body = Code(value)
    elif given == ["use"]:
        body = Plugin(value, settings or {})
    natural = EvalType.LLM_JUDGE if isinstance(body, Judge) else EvalType.RULE
    eval_type = said.pop("eval_type") or natural
    if eval_type is not natural and not isinstance(body, Plugin):
        raise ValueError(f"has eval_type {eval_type}, and a {given[0]} is of eval_type {natural}")
    applies_to = said.pop("applies_to") or AppliesTo(failure_modes=(said["failure_mode"],))
    return EvaluatorSpec(eval_type=eval_type, body=body, applies_to=applies_to, **said)


EVALUATOR = Form(_spec, FIELDS)
ORDER: Mapping[str, int] = MappingProxyType({f.name: n for n, f in enumerate(FIELDS)})


def parse_evaluator(value: Any) -> EvaluatorSpec:
    """Read an evaluator. The hash of a code file and the release of a package are not in it.

    Raises:
        Mistaken: a ValueError with every mistake, in words for the author of the file.

    """
    place = Place()
    spec: EvaluatorSpec = EVALUATOR.read(value, "an evaluator", place)
    place.close()
    return spec


def body_to_json(body: Body) -> dict[str, Any]:
    """Return the field, or the two, that say how an evaluator judges."""
    if isinstance(body, RULE_TYPES):
        return {"rule": rule_to_json(body)}
    match body:
        case Code():
            return {"code": body.path}
        case Judge():
            return {"judge": JUDGE.write(body)}
        case Plugin():
            return {"use": body.name, **({"with": dict(body.settings)} if body.settings else {})}


def spec_to_json(spec: EvaluatorSpec) -> dict[str, Any]:
    """Return the object that `parse_evaluator` makes this specification of; fields in the order people read them."""
    usual = AppliesTo(failure_modes=(spec.failure_mode,))
    written = {
        **body_to_json(spec.body),
        "eval_type": str(spec.eval_type),
        "applies_to": None if spec.applies_to == usual else applies_to_json(spec.applies_to),
    }
    for f in FIELDS:
        if f.name not in written and f.name not in (*BODIES, "with"):
            value = getattr(spec, f.attribute or f.name)
            if f.is_required or value != f.default:
                written[f.name] = f.kind.write(value)
    return {name: written[name] for name in sorted(written, key=ORDER.__getitem__) if written[name] is not None}


def spec_to_yaml(spec: EvaluatorSpec) -> str:
    """Return the text of the file; reading it gives the same specification."""
    import yaml  # noqa: PLC0415 - only whoever writes needs it

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and lists inside their parents."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the base's signature
            super().increase_indent(flow, indentless=False)

    def text(dumper: Dumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value and not any(line != line.rstrip() for line in value.split("\n")) else None
        style = '"' if UNPLAIN.search(value) else style
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]  # one value twice is written twice
    written: str = yaml.dump(spec_to_json(spec), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return written


def evaluator_schema() -> dict[str, Any]:
    """Return the JSON Schema of an evaluator file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An evaluator of otel-evalgate",
        **EVALUATOR.schema(),
        "oneOf": [{"required": [name]} for name in BODIES],
        "dependentRequired": {"with": ["use"]},
        "$defs": {"rule": rule_schema()},
    }
