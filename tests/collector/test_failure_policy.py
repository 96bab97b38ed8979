"""The policy of the processor `failure`: rules of the user, thresholds, disabled reasons; and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from collector.components import installed
from collector.config import parse
from collector.decode import decode
from collector.journal.record import Record
from collector.processors.failure import failure
from collector.processors.normalise import canonical
from collector.receivers.feedback import to_logs_request
from exporters.clickhouse.insert import insert_batch
from schema.component import Context
from schema.condition import ConditionError, parse_condition
from schema.errors import ConfigError
from schema.failure.names import REASONS
from schema.failure.rules import FailureRules
from schema.policy.failure import FailurePolicy
from tests.clickhouse.otlp import DAY, NOON, SECOND, batch_of, span, spans_record

if TYPE_CHECKING:
    from exporters.clickhouse.connect import Database
    from schema.batch import SpanBatch

PAGE = Path(__file__).parent.parent.parent / "docs" / "failing.md"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.finish_reasons": ["length"]}
CONFIG = """\
receivers:
  otlp:
    protocols:
      http:
processors:
  normalise:
  failure:
    {failure}
exporters:
  debug:
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [normalise, failure]
      exporters: [debug]
"""


def reasons(policy: dict[str, Any], *spans: Any, tenant: str = "default") -> list[list[str]]:
    """Return the reasons of each span under a policy."""
    rules = FailureRules.of(FailurePolicy.model_validate(policy))
    batch = rules(canonical(batch_of(spans_record(list(spans), tenant=tenant))))
    found: list[list[str]] = batch.columns["failure_reasons"].to_pylist()
    assert batch.columns["failing"].to_pylist() == [bool(r) for r in found]
    return found


def rule(name: str, when: str) -> dict[str, str]:
    return {"name": name, "when": when}


def test_a_rule_of_the_user_raises_its_own_reason_beside_the_others() -> None:
    slow = span(1, 1, end=NOON + 40 * SECOND, attributes=CHAT)
    quick = span(1, 2, attributes=CHAT)
    policy = {
        "rules": [
            rule("slow_answer", "span_kind = 'llm' AND duration_ms > 30000"),
            rule("acme", "tenant = 'acme' AND span_attributes['gen_ai.request.model'] = 'm'"),
        ]
    }
    assert reasons(policy, slow, quick) == [["finish:length", "rule:slow_answer"], ["finish:length"]]
    assert reasons(policy, quick, tenant="acme") == [["finish:length", "rule:acme"]]


def test_a_built_in_reason_can_be_switched_off_and_no_other_with_it() -> None:
    failed = span(1, 1, attributes=CHAT, status={"code": 2})
    assert reasons({}, failed) == [["span_error", "finish:length"]]
    assert reasons({"disabled": ["finish:length"]}, failed) == [["span_error"]]
    assert reasons({"disabled": ["finish:length", "span_error"]}, failed) == [[]]


def test_the_processor_has_the_policy_of_its_settings(tmp_path: Path) -> None:
    process = failure(FailurePolicy(disabled=("finish:length",)), Context("failure", tmp_path))
    batch = process(canonical(batch_of(spans_record([span(1, 1, attributes=CHAT)]))))
    assert batch.columns["failure_reasons"].to_pylist() == [[]]


def evaluated(policy: dict[str, Any], **said: Any) -> str:
    """Return the polarity of one evaluation under a policy."""
    body = json.dumps({"trace_id": "1" * 32, "name": "relevance", **said}).encode()
    rules = FailureRules.of(FailurePolicy.model_validate(policy))
    (row,) = rules(canonical(decode([feedback(body, NOON)]))).feedback
    return str(row["polarity"])


def feedback(body: bytes, at: int) -> Record:
    request = to_logs_request(body, now_unix_ns=at).SerializeToString()
    return Record(9, "default", "logs", "protobuf", gzip=False, received_unix_ns=at, body=request)


@pytest.mark.parametrize(
    ("threshold", "said", "polarity"),
    [
        (0.7, {"value": 0.6}, "negative"),
        (0.7, {"value": 0.7}, "positive"),
        (0.3, {"value": 0.4}, "positive"),
        (4, {"value": 3.5}, "negative"),
        ({"above": 0.3}, {"value": 0.4}, "negative"),
        ({"above": 0.3}, {"value": 0.1}, "positive"),
        ({"below": 2, "above": 4}, {"value": 5}, "negative"),
        (0.3, {"value": 0.9, "label": "fail"}, "negative"),
        (0.7, {"value": 0.6, "label": "pass"}, "negative"),
        (0.7, {"value": "fail"}, "negative"),
        (0.7, {"value": "pass"}, "positive"),
        (0.7, {"value": "so so"}, "unknown"),
    ],
)
def test_a_score_is_judged_by_the_threshold_of_its_evaluation(threshold: Any, said: Any, polarity: str) -> None:
    assert evaluated({"evaluations": {"relevance": threshold}}, **said) == polarity


def test_other_evaluations_keep_what_they_say() -> None:
    assert evaluated({"evaluations": {"toxicity": 0.9}}, value=0.6) == "positive"
    assert evaluated({}, value=0.4) == "negative"


def test_an_evaluation_that_comes_days_later_makes_the_trace_failing(db: Database) -> None:
    rules = FailureRules.of(FailurePolicy(evaluations={"relevance": 0.7}))

    def store(batch: SpanBatch, token: str) -> None:
        insert_batch(db, rules(canonical(batch)), token)

    def failing() -> dict[str, list[str]]:
        return {r["trace_id"][-2:]: r["failure_reasons"] for r in db.rows("SELECT * FROM traces WHERE failing")}

    store(batch_of(spans_record([span(1, 1), span(2, 2)])), "spans")
    assert failing() == {}
    for number, (trace, score) in enumerate([("1", 0.6), ("2", 0.8), ("1", 0.9)]):
        body = {"trace_id": trace.rjust(32, "0"), "name": "relevance", "value": score}
        store(decode([feedback(json.dumps(body).encode(), NOON + 3 * DAY)]), f"feedback/{number}")
    assert failing() == {"01": ["feedback:relevance"]}, "the better score of later lowers nothing"
    store(batch_of(spans_record([span(2, 3, attributes=CHAT)], received=NOON + 4 * DAY)), "late")
    assert failing() == {"01": ["feedback:relevance"], "02": ["finish:length"]}


@pytest.mark.parametrize(
    ("settings", "line", "said"),
    [
        (
            "rules: [{name: a, when: \"servce_name = 'x'\"}]",
            8,
            "there is no column 'servce_name'. Did you mean 'service_name'?",
        ),
        ('rules: [{name: a, when: "span_kind ="}]', 8, "does not parse"),
        ('rules: [{name: Slow Answer, when: "error"}]', 8, "no name of a rule"),
        ('rules: [{name: a, when: "error"}, {name: a, when: "counted"}]', 8, "two rules are named 'a'"),
        ("rules: [{name: a}]", 8, "is missing"),
        ('rules: [{name: a, when: "error", rate: 1}]', 8, "unknown key"),
        ("disabled: [finish:lenght]", 8, "Did you mean 'finish:length'?"),
        ("retried: maybe", 8, "'count' or 'ignore'"),
        ("evaluations: {relevance: .nan}", 8, "finite"),
        ("evaluations: {relevance: {}}", 8, "say below: or above:"),
        ("evaluations: {relevance: {below: 3, above: 2}}", 8, "no score passes"),
        ("retry: ignore", 8, "unknown key"),
    ],
)
def test_what_is_refused_before_anything_starts(settings: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(CONFIG.replace("{failure}", settings), "c.yaml", installed(), {})
    assert f"c.yaml:{line}: processors.failure" in str(refused.value)
    assert said in str(refused.value)


def test_the_place_of_a_mistake_is_told_to_the_line_and_the_character() -> None:
    settings = "rules:\n      - {name: fine, when: error}\n      - name: wrong\n        when: error AND\n"
    with pytest.raises(ConfigError) as refused:
        parse(CONFIG.replace("{failure}", settings), "c.yaml", installed(), {})
    assert str(refused.value).startswith("c.yaml:11: processors.failure.rules[1].when: the condition does not parse")
    assert "at character 7" in str(refused.value)


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the page."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for said, text in found if said == language]


def test_the_page_names_every_reason_and_its_examples_are_true() -> None:
    named = set(re.findall(r"^\| `([a-z_:<>]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == {*REASONS, "rule:<name>", "feedback:<name>"}
    (settings,) = blocks("yaml")
    policy = FailurePolicy.model_validate(yaml.safe_load(settings)["processors"]["failure"])
    assert (policy.retried, len(policy.rules), policy.disabled) == ("ignore", 3, ("finish:length",))
    conditions = [b for b in blocks("") if not b.startswith("evalgate")]
    assert len(conditions) == len([parse_condition(c) for c in conditions]) == 3


def test_the_parser_of_conditions_is_loaded_for_rules_alone() -> None:
    code = (
        "import sys; from collector.processors.failure import with_failures; from schema.policy import Policy; "
        "Policy().version; assert 'sqlglot' not in sys.modules; "
        "from schema.condition import parse_condition; parse_condition('error'); assert 'sqlglot' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_parser_a_rule_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(ConditionError, match=r"pip install 'otel-evalgate\[collector\]'"):
        parse_condition("error")
