"""Policies: read from a file of their own or from a collector's configuration, named by what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schema.errors import ConfigError
from schema.policy import FailurePolicy, Policy, RateRule, SamplePolicy, policy_of, read_policy

if TYPE_CHECKING:
    from pathlib import Path

ALONE = """\
failure:
  retried: ignore
sample:
  baseline_rate: 0.2
  rules:
    - {name: triage, when: "service_name = 'triage'", rate: 1.0}
    - {name: acme, when: "tenant = 'acme'", rate: 0.25}
"""
WHOLE = """\
receivers: {otlp: {protocols: {http: {endpoint: "${env:NOT_SET}"}}}}
processors:
  redact:
  failure/mine:
    retried: ignore
  sample:
    baseline_rate: ${env:RATE:-0.2}
    rules:
      - {name: triage, when: "service_name = 'triage'", rate: 1.0}
      - {name: acme, when: "tenant = 'acme'", rate: 0.25}
service: {pipelines: {}}
"""
EXPECTED = Policy(
    failure=FailurePolicy(retried="ignore"),
    sample=SamplePolicy(
        baseline_rate=0.2,
        rules=(
            RateRule(name="triage", when="service_name = 'triage'", rate=1),
            RateRule(name="acme", when="tenant = 'acme'", rate=0.25),
        ),
    ),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", [ALONE, WHOLE])
def test_a_policy_is_read_from_its_own_file_or_from_a_collectors(tmp_path: Path, text: str) -> None:
    assert read_policy(written(tmp_path, text), {}) == EXPECTED


def test_what_is_not_said_is_the_default(tmp_path: Path) -> None:
    assert read_policy(written(tmp_path, "sample:\n"), {}) == Policy()
    assert read_policy(written(tmp_path, "processors: {normalise: }\n"), {}) == Policy()


def test_the_version_names_what_the_settings_say_and_nothing_else(tmp_path: Path) -> None:
    version = EXPECTED.version
    assert len(version) == 12
    assert set(version) <= set("0123456789abcdef")
    assert policy_of([object(), EXPECTED.sample, EXPECTED.failure]).version == version
    spelled_out = ALONE.replace("1.0", "1").replace("retried: ignore", "retried: ignore\n  disabled: []")
    assert read_policy(written(tmp_path, spelled_out), {}).version == version
    others = {
        read_policy(written(tmp_path, ALONE.replace(a, b)), {}).version
        for a, b in [
            ("0.2\n", "0.3\n"),
            ("'acme'", "'b'"),
            ("ignore", "count"),
            ("sample:", "sample:\n  target_per_day: 5"),
            ("sample:", "sample:\n  tracestate: ignore"),
            ("sample:", "sample:\n  min_arrival_rate: 1e-3"),
        ]
    }
    assert len(others | {version}) == 7


def test_the_version_of_the_default_policy_stays() -> None:
    """A version stands in rows of databases: it changes with the defaults, and with nothing else."""
    assert Policy.model_validate({"sample": {}}).version == Policy().version
    assert Policy().body == Policy().body


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "0.2",
            "1.5",
            "p.yaml:4: sample.baseline_rate: a rate is a part of all traces, from 0 to 1: 0.1 is one in ten",
        ),
        ("baseline_rate: 0.2", "min_arrival_rate: 0", "p.yaml:4: sample.min_arrival_rate: "),
        ("baseline_rate: 0.2", "tracestate: false", "p.yaml:4: sample.tracestate: "),
        ("0.2", ".nan", "p.yaml:4: sample.baseline_rate: a rate is a part of all traces"),
        ("0.2", "10%", "p.yaml:4: sample.baseline_rate: a rate is a part of all traces"),
        ("0.2", "true", "p.yaml:4: sample.baseline_rate: a rate is a part of all traces"),
        ("rate: 1.0", "rate: -0.1", "p.yaml:6: sample.rules[0].rate: a rate is a part of all traces"),
        ("rate: 1.0", "rte: 1.0", "p.yaml:6: sample.rules[0].rte: unknown key; did you mean 'rate'?"),
        (
            "service_name =",
            "servce_name =",
            "p.yaml:6: sample.rules[0].when: there is no column 'servce_name'. Did you",
        ),
        ("= 'triage'", "= ", "p.yaml:6: sample.rules[0].when: the condition does not parse"),
        ("name: acme", "name: triage", "p.yaml:5: sample.rules: two rules are named 'triage': rename one"),
        ("name: acme", "name: A B", "p.yaml:7: sample.rules[1].name: 'A B' is no name of a rule"),
        ("tenant = 'acme'", "baseline = true", "p.yaml:7: sample.rules[1].when: baseline is decided by conditions"),
        ("sample:", "smaple:", "p.yaml:3: smaple: unknown key; did you mean 'sample'?"),
        ("  baseline_rate: 0.2", "  target_per_day: 0", "p.yaml:4: sample.target_per_day: "),
        ("  baseline_rate: 0.2", "  baseline_rate: 0.2\n  baseline_rate: 0.3", "stands here a second time"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in ALONE
    with pytest.raises(ConfigError) as caught:
        read_policy(written(tmp_path, ALONE.replace(old, new, 1)), {})
    assert expected in str(caught.value)


def test_two_parts_of_one_policy_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"which one holds, processors.sample and processors.sample/b\?"):
        read_policy(written(tmp_path, "processors:\n  sample:\n  sample/b:\n"), {})


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_policy(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="the file is empty"):
        read_policy(written(tmp_path, ""), {})
    (tmp_path / "p.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_policy(tmp_path / "p.yaml", {})
    with pytest.raises(ConfigError, match="must hold processors"):
        read_policy(written(tmp_path, "processors: [sample]\n"), {})
