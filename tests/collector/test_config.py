"""Configurations: read as the OpenTelemetry Collector reads them, and wrong ones told apart to the line."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.components import Registry, installed
from collector.config import Config, load, parse
from collector.delivery import plan
from collector.journal_options import journal_options
from schema.component import ENTRY_POINTS, Context
from schema.config_file import read
from schema.errors import ConfigError
from schema.policy import SamplePolicy
from tests.collector.conftest import stranger

GOOD = """\
receivers:
  otlp:
    protocols:
      grpc:
      http:
        endpoint: 127.0.0.1:0
processors:
  normalise:
  sample: {baseline_rate: 0.25}
exporters:
  debug:
  debug/loud:
    verbosity: detailed
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [normalise, sample]
      exporters: [debug, debug/loud]
    logs:
      receivers: [otlp]
      processors: [normalise]
      exporters: [debug, debug/loud]
"""


def check(text: str, registry: Registry, **environment: str) -> Config:
    return parse(text, "c.yaml", registry, environment)


def problems(text: str, registry: Registry, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(text, registry, **environment)
    return str(caught.value).splitlines()


def test_a_configuration_is_read_whole(registry: Registry) -> None:
    config = check(GOOD, registry)
    assert list(config.receivers) == ["otlp"]
    assert config.processors["sample"].settings == SamplePolicy(baseline_rate=0.25)
    assert config.exporters["debug/loud"].settings.model_dump() == {"verbosity": "detailed"}
    assert config.exporters["debug/loud"].component.name == "debug"
    assert config.service.journal.sync is True
    assert config.unused == ()


def test_what_no_pipeline_uses_is_told(registry: Registry) -> None:
    assert check(GOOD.replace("processors: [normalise, sample]", "processors: [normalise]"), registry).unused == (
        "processors.sample",
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "endpoint:",
            "endpont:",
            "c.yaml:6: receivers.otlp.protocols.http.endpont: unknown key; did you mean 'endpoint'?",
        ),
        ("baseline_rate", "rate", "c.yaml:9: processors.sample.rate: unknown key; known here: baseline_rate"),
        ("receivers:\n  otlp", "recievers:\n  otlp", "c.yaml:1: recievers: unknown key; did you mean 'receivers'?"),
        ("service:\n", "service:\n  jurnal: {}\n", "c.yaml:15: service.jurnal: unknown key; did you mean 'journal'?"),
        ("0.25", "7", "c.yaml:9: processors.sample.baseline_rate: a rate is a part of all traces, from 0 to 1: 0.1 is"),
        ("  sample:", "  sampel:", "there is no processor 'sampel'; did you mean 'sample'?"),
        ("[debug, debug/loud]", "[debgu]", "exporter 'debgu' is not configured; did you mean 'debug'?"),
        ("debug/loud:", "debug/:", "c.yaml:12: exporters.debug/: an id is `type` or `type/name`"),
        ("[normalise, sample]", "[sample]", "must be among those of the traces pipeline"),
        ("[otlp]\n      processors: [normalise]", "[otlp, otlp]", "'otlp' is named twice"),
        ("        endpoint: 127.0.0.1:0", "        endpoint: x\n        endpoint: y", "stands here a second time"),
        ("processors:\n  normalise", "processors: [\n  normalise", "not valid YAML"),
        ("exporters: [debug, debug/loud]\n    logs", "exporters: []\n    logs", "service.pipelines.traces.exporters: "),
        ("127.0.0.1:0", "${env:NOT_SET}", "the environment variable NOT_SET is not set"),
        ("127.0.0.1:0", "${HOST}", "'${HOST}' is not understood; write ${env:NAME}"),
        ("detailed", "shouting", "exporters.debug/loud.verbosity: Input should be 'basic' or 'detailed'"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_remedy(
    registry: Registry, old: str, new: str, expected: str
) -> None:
    assert old in GOOD
    assert any(expected in line for line in problems(GOOD.replace(old, new), registry)), expected


def test_rules_come_after_what_fills_their_columns(registry: Registry) -> None:
    text = GOOD.replace("{baseline_rate: 0.25}", "{rules: [{name: a, when: \"feature = 'x'\", rate: 1}]}")
    assert check(text, registry).policy.sample.rules
    early = text.replace("[normalise, sample]", "[sample, normalise]")
    (line,) = problems(early, registry)
    place = "c.yaml:18: service.pipelines.traces.processors[0]"
    assert line == f"{place}: the rules of 'sample' read what 'normalise' fills: put it behind"
    assert not check(GOOD.replace("[normalise, sample]", "[sample, normalise]"), registry).policy.sample.rules


def test_pipelines_must_share_their_exporters(registry: Registry) -> None:
    text = GOOD[: GOOD.rindex("exporters")] + "exporters: [debug]\n"
    (line,) = problems(text, registry)
    assert "must be those of the traces pipeline" in line


def test_every_problem_is_told_at_once(registry: Registry) -> None:
    text = GOOD.replace("baseline_rate", "rate").replace("verbosity", "vebrosity").replace("[otlp]", "[oltp]")
    assert len(problems(text, registry)) == 4


def test_nothing_at_all_is_a_clear_error(registry: Registry) -> None:
    assert problems("", registry) == ["c.yaml: the file is empty; it needs receivers, exporters and service.pipelines"]
    assert "keys and values" in problems("- a\n", registry)[0]
    assert "service: is missing" in problems("receivers:\n", registry)[0]
    assert "at least one pipeline" in problems("service: {pipelines: {}}\n", registry)[0]


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.yaml", registry, {})
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.yaml", registry, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${env:A}", "from a"),
        ("${env:NUMBER}", 7),
        ("${env:TRUE}", True),
        ("x${env:NUMBER}", "x7"),
        ("${env:NONE:-127.0.0.1:4317}", "127.0.0.1:4317"),
        ("${env:EMPTY:-d}", "d"),
        ("${env:NONE:-}", None),
        ("${env:EMPTY}", None),
        ("$$", "$"),
        ("a$$b", "a$b"),
        ("$${env:A}", "${env:A}"),
        ("plain", "plain"),
        ("$", "$"),
        ("${env:LIST}", "[1, 2]"),
        ("'${env:A}-${env:A}'", "from a-from a"),
    ],
)
def test_environment_variables_are_expanded(text: str, expected: object) -> None:
    environment = {"A": "from a", "NUMBER": "7", "TRUE": "true", "EMPTY": "", "LIST": "[1, 2]"}
    assert read(f"k: {text}\n", "c.yaml", environment).data["k"] == expected


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_a_value_from_the_environment_is_never_expanded_again(value: str) -> None:
    document = read("k: a${env:V}b${env:V:-x}\n", "c.yaml", {"V": value, "A": "leaked"})
    assert document.data["k"] == f"a{value}b{value or 'x'}"


def test_the_default_configuration_is_valid() -> None:
    text = files("collector").joinpath("default.yaml").read_text(encoding="utf-8")
    config = parse(text, "default", installed(), {"EVALGATE_DSN": "chdb:///x/db"})
    assert config.unused == ()
    assert set(config.service.pipelines.traces.processors if config.service.pipelines.traces else ()) >= {
        "normalise",
        "failure",
        "sample",
    }


def test_the_examples_of_the_documentation_are_valid() -> None:
    text = Path("docs/configuration.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        parse(block, "docs", installed(), {"EVALGATE_DSN": "chdb:///x/db"})


def test_every_key_of_the_service_is_documented() -> None:
    from collector.config import JournalConfig, ServiceConfig  # noqa: PLC0415 - only here

    text = Path("docs/configuration.md").read_text(encoding="utf-8")
    for name in [*ServiceConfig.model_fields, *JournalConfig.model_fields]:
        assert f"`{name}`" in text, name


def test_a_database_is_required_and_what_else_there_is_may_fall_behind(registry: Registry) -> None:
    text = GOOD.replace("debug/loud:\n    verbosity: detailed", "clickhouse:").replace("debug/loud", "clickhouse")
    config = check(text, registry)
    assert plan.required(config) == {"clickhouse"}
    assert plan.leading(config) == "clickhouse"
    assert [(r.name, r.max_lag_bytes) for r in plan.readers(config, 400)] == [("debug", 100), ("clickhouse", None)]
    options = "debug: {required: true}, clickhouse: {required: false, max_lag_bytes: 2097152}"
    told = check(f"{text}  delivery: {{{options}}}\n", registry)
    assert plan.required(told) == {"debug"}
    assert [(r.name, r.max_lag_bytes) for r in plan.readers(told, 400)] == [("debug", None), ("clickhouse", 2 << 20)]
    with pytest.raises(ConfigError, match=r"no such exporter; did you mean 'debug'"):
        check(text + "  delivery: {debg: {required: true}}\n", registry)


def test_where_no_exporter_is_a_database_all_are_required(registry: Registry) -> None:
    assert plan.required(check(GOOD, registry)) == {"debug", "debug/loud"}


def test_the_sizes_of_the_journal_follow_from_each_other(registry: Registry, tmp_path: Path) -> None:
    def options(journal: str) -> tuple[int, int]:
        config = check(GOOD + f"  journal: {journal}\n", registry)
        found = journal_options(config.service.journal, tmp_path)
        return found.max_bytes, found.segment_bytes

    assert options("{max_bytes: 8388608}") == (8 << 20, 1 << 20)
    assert options("{max_bytes: 10737418240}")[1] == 64 << 20
    maximum, segment = options("{}")
    assert 0 < 8 * segment <= maximum <= 10 << 30
    with pytest.raises(ConfigError, match="more than an eighth"):
        options("{max_bytes: 8388608, segment_bytes: 4194304}")


# -- components --------------------------------------------------------------------------------------------------


def test_a_plain_function_is_a_processor(registry: Registry, tmp_path: Path) -> None:
    text = GOOD.replace("  normalise:", "  plain:").replace("[normalise", "[plain")
    configured = check(text, registry).processors["plain"]
    processor = configured.component(configured.settings, Context("plain", tmp_path))
    batch = object()
    assert processor(batch) is batch


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (EntryPoint("exporter/debug", "no_such_module:x", ENTRY_POINTS), "cannot be loaded: ModuleNotFoundError"),
        (stranger("exporter", "debug", "nothing"), "cannot be loaded: AttributeError"),
        (stranger("exporter", "debug", "count"), "its entry point must be named exporter/count"),
        (stranger("exporter", "debug", "not_a_component"), "is a int; declare it with"),
    ],
)
def test_a_broken_package_is_one_clear_line(point: EntryPoint, expected: str, registry: Registry) -> None:
    broken = Registry([point, *(f.point for f in registry)])
    with pytest.raises(ConfigError) as caught:
        broken.load("exporter", "debug")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_package_costs_only_those_who_use_it(registry: Registry) -> None:
    broken = EntryPoint("exporter/broken", "no_such_module:x", ENTRY_POINTS)
    check(GOOD, Registry([broken, *(f.point for f in registry)]))


def test_every_registered_component_of_ours_loads() -> None:
    registry = installed()
    for found in registry:
        if found.package == "otel-evalgate":
            assert registry.load(found.kind, found.name).name == found.name  # type: ignore[arg-type]  # ours are of a kind


def test_what_masks_secrets_comes_before_what_reads_them() -> None:
    registry = installed()
    first = GOOD.replace("processors:\n", "processors:\n  redact:\n", 1)
    both = first.replace("processors: [normalise, sample]", "processors: [redact, normalise, sample]")
    assert check(both, registry).processors.keys() >= {"redact"}
    late = first.replace("processors: [normalise, sample]", "processors: [normalise, redact, sample]")
    with pytest.raises(ConfigError, match=r"'redact' must come before 'normalise'"):
        check(late, registry)
