"""The gate's page says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from evalgate.gate.policy import GatePolicy, MustNotBreak
from schema.statistics import minimum_detectable_drop

PAGE = (Path(__file__).parents[2] / "docs/gate.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)`[^|]* \| ([^|]+?) \|", PAGE, re.MULTILINE))


def test_every_setting_stands_there_with_its_default() -> None:
    for settings in (GatePolicy().model_dump(mode="json"), GatePolicy().permission.model_dump(mode="json")):
        for name, value in settings.items():
            assert f"`{name}`" in PAGE, name
            if isinstance(value, (int, float, str)):
                assert ROWS[name] == f"{value:g}" if isinstance(value, float) else f"{value}", name
    assert ROWS["integrity"] == ", ".join(GatePolicy().integrity)
    assert all(f"`{way}`" in PAGE for way in MustNotBreak if way != GatePolicy().must_not_break)


def test_the_example_is_a_policy() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    policy = GatePolicy.model_validate(yaml.safe_load(block)["policy"])
    assert policy.must_not_break is MustNotBreak.NAMED
    assert policy.of("smoke").groups == ()


@pytest.mark.parametrize("cells", re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE))
def test_the_effects_that_it_tells_are_those_that_are_stated(cells: tuple[str, ...]) -> None:
    n, *told = (float(c) for c in cells)
    for noise, effect in zip((0.0, 0.1, 0.2), told, strict=True):
        stated = minimum_detectable_drop(int(n), noise, alpha=0.05, power=0.8, least_drop=0.02)
        assert stated is not None
        assert stated * 100 == pytest.approx(effect, rel=0.03)
