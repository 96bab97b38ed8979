"""Kernels read plain content as the converters do: the same columns, whatever the messages are; and they do read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.tools.payloads import build
from collector.decode import decode
from collector.processors.normalise import canonical
from collector.processors.normalise.classify import KINDS
from collector.processors.normalise.content_kernels import HAS_ARGUMENTS, HAS_INPUT, HAS_OUTPUT, HAS_RESULT
from collector.processors.normalise.grouped import plain_facts
from collector.processors.normalise.limits import DEFAULT_MAX_BYTES
from schema.dialect import dialects
from schema.span import Kind
from tests.clickhouse.otlp import batch_of, span, spans_record
from tests.decode.hostile import seeded
from tests.decode.test_span_batch import BODIES, record, record_of_file
from tests.normalise.test_kernels import assert_same_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from schema.batch import SpanBatch

ROOT = Path(__file__).parents[2]
INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
ARGUMENTS, RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
CHAT = {"gen_ai.operation.name": "chat"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look_up"}

# fmt: off
ODD_TEXTS = (
    "", " ", "a", "é", "日本", "\U0001f600", "\u0000", "\u001f", "\u007f", '"', "\\", "/",
    "\n\t", "\u2028", "[", "[]", "{", "(", '{"a": 1}', '{"a":1,"a":2}', "[1, 2]", '[{"text":"x"}]', '"quoted"',
    '"\\"twice\\""', "eyJhIjoxfQ==", "W10=", "null", '{"a": 1', '{"type":"text","value":1}', "{'a': 1}",
    "True", " {}", "{} ", "\u00a0{}", "__REDACTED__", "<REDACTED>",
    "ResponseFunctionToolCall(arguments='{}', name='f', type='function_call')", "Answer (see below)",
    "É(x=1)", "A(b=1)", "Function called with tools",
    "x" * 70,
    "é" * 40,
    'say "hi"\n' * 9,
    '{"embedding": [1, 2]}', "1e5", "-0",
)
# fmt: on
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(max_size=12)
NUMBERS = (
    st.integers(-(2**64), 2**64)
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1.5, 0.001, 0.0001, 0.00001, 1e15, 1e16, 1e22, 123456789.123456, 0.1 + 0.2])
)
NAMES = st.sampled_from(
    [
        "a",
        "b",
        "type",
        "value",
        "content",
        "text",
        "name",
        "args",
        "kwargs",
        "input",
        "id",
        "output",
        "embedding",
        "é",
        'q"',
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["call_1", "call_2", "", None, "é", 7, '"'])
BODIES_OF_CALLS = VALUES | VALUES.map(json.dumps) | TEXTS


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Make objects whose members come in any order."""
    made: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(required, optional=optional)
    return made.flatmap(lambda d: st.permutations(list(d.items())).map(dict)) if len(required) > 1 else made


ODD_MEMBERS = {"index": st.integers(0, 3), "cache_control": VALUES}
PARTS = st.one_of(
    some({"type": st.just("text"), "content": TEXTS}, {}),
    some({"type": st.just("text"), "content": TEXTS}, {**ODD_MEMBERS, "text": TEXTS}),
    some({"type": st.just("text"), "text": TEXTS}, {}),
    some({"type": st.just("reasoning"), "content": TEXTS}, {"id": IDS}),
    some({"type": st.just("tool_call"), "name": TEXTS, "arguments": BODIES_OF_CALLS}, {"id": IDS}),
    some(
        {"type": st.sampled_from(["tool_call", "function"])},
        {"id": IDS, "name": TEXTS | st.none(), "arguments": VALUES},
    ),
    some({"type": st.just("tool_call_response"), "response": BODIES_OF_CALLS}, {"id": IDS, "name": TEXTS}),
    some(
        {"type": st.just("tool_call_response"), "result": VALUES}, {"id": IDS, "response": VALUES, "is_error": VALUES}
    ),
    some(
        {"type": st.sampled_from(["blob", "image_url", "tool_use", "refusal", "é", "t"]), "content": TEXTS}, ODD_MEMBERS
    ),
    VALUES,
)
FUNCTIONS = some({"name": TEXTS, "arguments": BODIES_OF_CALLS}, {}) | VALUES
CALLS = some(
    {"id": IDS, "function": FUNCTIONS}, {"type": st.just("function"), "index": st.integers(0, 2), "name": TEXTS}
)
ROLES = st.sampled_from(
    ["user", "assistant", "system", "tool", "developer", "human", "ai", "model", "User", "narrator", ""]
)
ENDS = st.sampled_from(["stop", "tool_calls", "length", "é", "", None, 1])
MESSAGES = st.one_of(
    some({"role": ROLES, "parts": st.lists(PARTS, max_size=3)}, {"name": TEXTS, "finish_reason": ENDS}),
    some(
        {"role": ROLES, "content": TEXTS | st.none()},
        {"name": TEXTS, "refusal": st.none() | TEXTS, "annotations": VALUES},
    ),
    some({"role": ROLES, "content": st.lists(PARTS, max_size=3)}, {"tool_calls": st.lists(CALLS, max_size=2)}),
    some({"role": ROLES, "content": TEXTS | st.none(), "tool_calls": st.lists(CALLS, max_size=2)}, {"id": IDS}),
    some({"role": st.just("tool"), "content": BODIES_OF_CALLS, "tool_call_id": IDS}, {"name": TEXTS, "id": IDS}),
    some({"role": ROLES}, {"content": VALUES, "parts": VALUES, "tool_calls": VALUES, "reasoning": VALUES}),
)


def write(value: Any, chance: Random, *, odd: bool) -> str:
    """Write JSON as some library might: escaped or not, with spaces or without; odd: members twice, other spellings."""
    pad = chance.choice(["", " ", "\n", "\t\r "]) if odd else chance.choice(["", " "])
    if isinstance(value, dict):
        members = [f"{write(k, chance, odd=odd)}{pad}:{pad}{write(v, chance, odd=odd)}" for k, v in value.items()]
        if odd and members and chance.random() < 0.03:
            members.append(chance.choice(members))
        return "{" + pad + f"{pad},{pad}".join(members) + pad + "}"
    if isinstance(value, list):
        return "[" + pad + f",{pad}".join(write(v, chance, odd=odd) for v in value) + pad + "]"
    if isinstance(value, str) and odd and chance.random() < 0.3:
        return (
            '"'
            + "".join(f"\\u{u:04x}" if chance.random() < 0.5 else json.dumps(c)[1:-1] for c in value for u in units(c))
            + '"'
        )
    if isinstance(value, float) and odd and chance.random() < 0.3:
        return chance.choice([f"{value:e}", f"{value:.3f}", f"{value}0"])
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)


def units(character: str) -> list[int]:
    """Return the one UTF-16 unit of a character; none for those that need two."""
    return [ord(character)] if ord(character) < 0x10000 else []


def batch_with(rows: Sequence[dict[str, Any]]) -> SpanBatch:
    spans = [span(1, i + 1, name="a span", attributes=row) for i, row in enumerate(rows)]
    return batch_of(spans_record(spans))


def facts_of(batch: SpanBatch) -> list[int]:
    """Return what kernels took of every span."""
    kinds = canonical(batch, compiled=False).columns["span_kind"].to_pylist()
    kind = np.array([KINDS.index(Kind(k)) for k in kinds], np.int64)
    found = plain_facts(batch, dialects(), kind=kind, alone=(), max_content_bytes=DEFAULT_MAX_BYTES)
    return [int(f) for f in found]


LISTS = st.lists(MESSAGES, min_size=1, max_size=4)


@given(st.lists(LISTS, min_size=1, max_size=6), st.integers(0, 2**32), st.booleans())
def test_made_messages_are_read_the_same(talks: list[list[Any]], seed: int, odd: bool) -> None:  # noqa: FBT001
    chance = seeded(seed)
    texts = [write(talk, chance, odd=odd) for talk in talks]
    keys = [(INPUT, OUTPUT), (OUTPUT, INPUT), ("ai.prompt.messages", OUTPUT)]
    assert_same_columns(batch_with([{**CHAT, **dict(zip(k, [t, texts[0]], strict=True))} for t in texts for k in keys]))


@given(st.lists(LISTS, min_size=1, max_size=4), st.integers(0, 2**32))
def test_damaged_messages_are_read_the_same(talks: list[list[Any]], seed: int) -> None:
    chance = seeded(seed)
    texts = [broken(write(talk, chance, odd=False), chance) for talk in talks for _ in range(4)]
    assert_same_columns(batch_with([{**CHAT, INPUT: t, OUTPUT: t} for t in texts]))


@given(st.lists(VALUES | BODIES_OF_CALLS, min_size=1, max_size=8), st.integers(0, 2**32), st.booleans())
def test_made_arguments_and_results_are_read_the_same(values: list[Any], seed: int, odd: bool) -> None:  # noqa: FBT001
    chance = seeded(seed)
    texts = [v if isinstance(v, str) and chance.random() < 0.5 else write(v, chance, odd=odd) for v in values]
    texts += [broken(t, chance) for t in texts]
    assert_same_columns(
        batch_with([{**TOOL, ARGUMENTS: t, RESULT: u} for t, u in zip(texts, texts[::-1], strict=True)])
    )


INDEXED_TEXTS = TEXTS | st.sampled_from(["stop", "length", 7])
INDEXED = st.lists(
    st.tuples(
        st.sampled_from(["gen_ai.prompt", "gen_ai.completion", "llm.input_messages", "llm.output_messages"]),
        st.sampled_from(["0", "1", "2", "10", "01", "x"]),
        st.sampled_from(["role", "content", "message.role", "message.content", "finish_reason", "tool_calls.0.name"]),
        INDEXED_TEXTS | ROLES,
    ),
    max_size=8,
)
TALK = st.lists(st.tuples(ROLES, TEXTS, ENDS), min_size=1, max_size=4)


def indexed(talk: list[tuple[str, str, Any]], begin: str, inner: str) -> dict[str, Any]:
    """Write messages as a key for every member."""
    rows: dict[str, Any] = {}
    for i, (role, content, end) in enumerate(talk):
        rows |= {f"{begin}.{i}.{inner}role": role, f"{begin}.{i}.{inner}content": content}
        rows |= {f"{begin}.{i}.{inner}finish_reason": end} if end else {}
    return rows


@given(st.lists(st.tuples(TALK, INDEXED, st.booleans()), min_size=1, max_size=5))
def test_made_indexed_messages_are_read_the_same(rows: list[tuple[Any, Any, bool]]) -> None:
    batch = []
    for talk, odd, nested in rows:
        given_, said = (
            ("llm.input_messages", "llm.output_messages") if nested else ("gen_ai.prompt", "gen_ai.completion")
        )
        inner = "message." if nested else ""
        whole = {**indexed(talk, given_, inner), **indexed(talk[-1:], said, inner)}
        batch += [whole, whole | {".".join(key): value for *key, value in odd}]
        batch.append({".".join(key): value for *key, value in odd} | {INPUT: "[]"})
    assert_same_columns(batch_with([{**CHAT, **row} for row in batch]))


@pytest.mark.parametrize(
    ("begin", "end", "inner"),
    [("gen_ai.prompt", "gen_ai.completion", ""), ("llm.input_messages", "llm.output_messages", "message.")],
)
def test_indexed_texts_are_plain(begin: str, end: str, inner: str) -> None:
    talk = [("system", "Be brief.", None), ("user", 'Say "hi"\n', None), ("assistant", "hi", None), ("user", "é", None)]
    row = {**CHAT, **indexed(talk, begin, inner), **indexed([("assistant", "No.", "stop")], end, inner)}
    tools = {**row, f"{end}.0.{inner}tool_calls.0.name": "f"}
    batch = batch_with([row, tools, {**row, INPUT: "[]"}])
    assert [(bool(f & HAS_INPUT), bool(f & HAS_OUTPUT)) for f in facts_of(batch)] == [
        (True, True),
        (True, False),
        (False, True),
    ]
    assert_same_columns(batch)


def broken(text: str, chance: Random) -> str:
    """Cut the text, or put, drop or repeat characters somewhere."""
    at = chance.randrange(len(text) + 1)
    match chance.randrange(4):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + chance.choice('"\\{}[],: 0e-tn\x00\x1f\ud7ff') + text[at:]
        case 2:
            return text[:at] + text[at + 1 :]
    return text[:at] + text[max(0, at - chance.randrange(9)) :]


@pytest.mark.parametrize("shift", range(0, 9, 3))
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 31, 32, 33, 64])
def test_texts_of_every_length_and_place_are_read_the_same(size: int, shift: int) -> None:
    rows = []
    for mark in ("", '"', "\\", "\n", "é", "\x01"):
        text = "x" * (size // 2) + mark + "y" * (size - size // 2)
        content = {"role": "user", "parts": [{"type": "text", "content": text}]}
        rows.append({"pad": "z" * shift, **CHAT, INPUT: json.dumps([content], ensure_ascii=False)})
    batch = batch_with(rows)
    assert_same_columns(batch)
    assert [bool(f & HAS_INPUT) for f in facts_of(batch)] == [size > 0, *[True] * 5]


PLAIN: dict[str, dict[str, Any]] = {
    "OpenTelemetry": {
        INPUT: [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": 'Say "hi" in \n two lines: \u4f60'}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": [1, 2.5]}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": '{"ok": true}'}]},
        ],
        OUTPUT: [
            {
                "role": "assistant",
                "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "hi"}],
                "finish_reason": "stop",
            }
        ],
    },
    "OpenAI": {
        "llm.messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi?"}], "name": "Ann"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
                "refusal": None,
                "annotations": [],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "21 degrees"},
        ],
        OUTPUT: [{"content": "Hello", "role": "assistant"}],
    },
}


@pytest.mark.parametrize("dialect", PLAIN)
def test_the_usual_messages_are_plain(dialect: str) -> None:
    one = {k: json.dumps(v) for k, v in PLAIN[dialect].items()}
    compact = {k: json.dumps(v, separators=(",", ":"), ensure_ascii=False) for k, v in PLAIN[dialect].items()}
    batch = batch_with([{**CHAT, **one}, {**CHAT, **compact}])
    assert all(f & HAS_INPUT and f & HAS_OUTPUT for f in facts_of(batch))
    assert_same_columns(batch)


@pytest.mark.parametrize("text", ['{"city": "Rome", "days": 3}', "[]", "Rome", '{"type": "order", "id": 7}', "-3"])
def test_the_usual_arguments_and_results_are_plain(text: str) -> None:
    batch = batch_with([{**TOOL, ARGUMENTS: text, RESULT: text}])
    assert facts_of(batch) == [HAS_ARGUMENTS | HAS_RESULT]
    assert_same_columns(batch)


NOT_PLAIN = {
    "a key twice": '[{"role":"user","role":"user","content":"x"}]',
    "a key twice in arguments": '[{"role":"assistant","parts":[{"type":"tool_call","arguments":{"a":1,"a":2}}]}]',
    "an unknown key": '[{"role":"user","content":"x","thinking":"y"}]',
    "an unknown role": '[{"role":"narrator","content":"x"}]',
    "half a surrogate pair": '[{"role":"user","content":"\\ud83d"}]',
    "an exponent": '[{"role":"assistant","parts":[{"type":"tool_call","arguments":{"a":1e5}}]}]',
    "a number too long to be sure of": '[{"role":"tool","content":"{\\"a\\":0.12345678901234567}"}]',
    "a result by the user": '[{"role":"user","parts":[{"type":"tool_call_response","id":"c","response":"x"}]}]',
    "a result twice": "[" + ",".join(['{"role":"tool","content":"x","tool_call_id":"c"}'] * 2) + "]",
    "text after the end": '[{"role":"user","content":"x"}] x',
    "cut off": '[{"role":"user","content":"x',
    "nothing said": '[{"role":"user","parts":[]}]',
    "a vector": '[{"role":"tool","content":"{\\"embedding\\":[1,2]}"}]',
    "a printed call": '[{"role":"user","parts":[{"type":"text","content":"Call(name=1)"}]}]',
}


@pytest.mark.parametrize("what", NOT_PLAIN)
def test_what_is_not_certain_is_left_to_the_converters(what: str) -> None:
    batch = batch_with([{**CHAT, INPUT: NOT_PLAIN[what]}])
    assert facts_of(batch) == [0]
    assert_same_columns(batch)


def test_a_system_message_beside_instructions_is_left_to_the_converters() -> None:
    said = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    batch = batch_with([{**CHAT, INPUT: said, "gen_ai.system_instructions": "Be brief."}, {**CHAT, INPUT: said}])
    assert [bool(f & HAS_INPUT) for f in facts_of(batch)] == [False, True]
    assert_same_columns(batch)


def test_spans_that_differ_in_one_thing_that_converters_read_are_told_apart() -> None:
    said = json.dumps([{"role": "assistant", "content": "x", "finish_reason": "stop"}])
    called = json.dumps([{"role": "assistant", "tool_calls": [{"id": "c", "name": "f"}], "finish_reason": "stop"}])
    base: dict[str, Any] = {**CHAT, OUTPUT: said}
    rows = [base, {**base, OUTPUT: said.replace("stop", "length")}, {**base, OUTPUT: called}]
    rows += [{**base, "gen_ai.request.top_k": v} for v in (3, 4, 4.0, "3")]
    rows += [{**base, "tags": v} for v in ("a,b", "a,c", "a,b,c")]
    rows += [
        {**base, "gen_ai.usage.raw": '{"input_tokens": 3, "total_tokens": 9}', "gen_ai.usage.input_tokens": i}
        for i in (2, 3)
    ]
    rows += [{**base, "metadata": v} for v in ('{"a": 1}', '{"a": 2}')]
    rows += [{**base, "gen_ai.operation.name": "chain"}, {**TOOL, "gen_ai.tool.name": "", "tags": "a"}]
    batch = batch_with([*rows, *rows])
    assert_same_columns(batch)
    told_apart = {
        json.dumps(row, default=str)
        for row in zip(*(c.to_pylist() for c in canonical(batch).columns.values()), strict=True)
    }
    assert len(told_apart) >= len(rows) - 2  # the parameters 4 and 4.0 say the same, tokens may


def test_the_load_of_the_bench_is_plain_and_much_of_real_captures() -> None:
    load = decode([record(build("genai", 200, seed=1).SerializeToString())])
    tools = canonical(load, compiled=False).columns["span_kind"].to_pylist().count("tool")
    wanted = HAS_INPUT | HAS_OUTPUT
    assert [f & wanted == wanted for f in facts_of(load)].count(True) == len(load) - tools
    real = decode([record_of_file(path, i) for i, path in enumerate(BODIES)])
    assert sum(f != 0 for f in facts_of(real)) > 200


MADE = """
from hypothesis import HealthCheck, settings
from tests.normalise import test_content_kernels as made

rules = settings(
    max_examples={examples}, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
rules(made.test_made_messages_are_read_the_same)()
rules(made.test_damaged_messages_are_read_the_same)()
rules(made.test_made_arguments_and_results_are_read_the_same)()
rules(made.test_made_indexed_messages_are_read_the_same)()
"""


@pytest.mark.parametrize(
    ("switch", "examples"),
    [("NUMBA_DISABLE_JIT", 15), pytest.param("NUMBA_BOUNDSCHECK", 60, marks=pytest.mark.thorough)],
)
def test_the_same_source_runs_with(switch: str, examples: int, pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir(switch.lower())  # numba does not tell these apart
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MADE.format(examples=examples)],
        cwd=ROOT,
        env={**os.environ, switch: "1", "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert (done.returncode, done.stderr) == (0, "")
