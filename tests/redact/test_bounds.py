"""What a request costs is bounded, whatever a sender puts into it; what is too much for a look is masked whole."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from collector.processors.redact import RedactConfig, RedactProcessor
from tests.redact.at_the_limits import batch_of

if TYPE_CHECKING:
    from collections.abc import Callable

N_BYTES = 8_000_000
MAX_CPU_S = 8.0
"""The slowest shape takes 0.9 s; judged without bounds, some take minutes."""
MAX_BYTES = 300_000_000
"""The largest takes 90 MB; without bounds, some take 600."""
COMPILED = pytest.mark.parametrize("compiled", [True, pytest.param(False, marks=pytest.mark.thorough)])
"""The kernels, and what they are compiled of: slow for so many matches."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("n_bytes", [N_BYTES // 3, pytest.param(N_BYTES, marks=pytest.mark.thorough)])
def test_requests_made_to_be_slow_are_not(n_bytes: int) -> None:
    command = [sys.executable, "-m", "tests.redact.at_the_limits", str(n_bytes)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110)
    for shape, took in json.loads(ran.stdout).items():
        assert took["cpu_s"] < MAX_CPU_S, shape
        assert took["bytes"] < MAX_BYTES, shape
        assert took["beside"] == {"beside": "stays"}, shape
        assert shape in {"digits", "prefixes"} or took["counts"]["overfull"], shape


def after(attributes: dict[str, Any], *, compiled: bool) -> tuple[dict[str, Any], RedactProcessor]:
    """Return the attributes as the processor leaves them, and the processor."""
    processor = RedactProcessor(RedactConfig(patterns={"four": "[0-9]{4}"}), compiled=compiled)
    return processor(batch_of(attributes)).attributes.of(0), processor


@COMPILED
@pytest.mark.parametrize(
    "made",
    [
        lambda n: "a://b:c@" * n,
        lambda n: ["a://b:c@d"] * n,
        lambda n: {"k": {"password": ["x"] * n}},
        lambda n: "x 1234 " * n,
    ],
)
def test_a_value_with_too_much_in_it_is_masked_whole(made: Callable[[int], Any], *, compiled: bool) -> None:
    few, processor = after({"a": made(5), "b": "c"}, compiled=compiled)
    assert not str(few["a"]).startswith("[REDACTED:overfull]")
    assert processor.redactions["overfull"] == 0
    many, processor = after({"a": made(33_000), "b": "c"}, compiled=compiled)
    assert many["a"].startswith("[REDACTED:overfull]***")
    assert set(many["a"].removeprefix("[REDACTED:overfull]")) == {"*"}
    assert many["b"] == "c"
    assert processor.redactions["overfull"] == 1


@COMPILED
def test_values_beyond_what_a_batch_may_have_are_masked_whole_if_they_have_anything(*, compiled: bool) -> None:
    most = {f"a{i}": "a://b:c@ " * 20_000 for i in range(15)}
    found, processor = after(most | {"little": "redis://u:pw@host", "none": "x" * 100}, compiled=compiled)
    assert found["a0"].startswith("a://b:*@")
    assert found["little"] == "[REDACTED]*******"
    assert found["none"] == "x" * 100
    assert found["a14"].startswith("[REDACTED:overfull]*")
    assert processor.redactions["overfull"] == 2


@pytest.mark.parametrize("compiled", [True, False])
def test_numbers_in_maps_under_names_of_secrets_are_zero(*, compiled: bool) -> None:
    given = {"a": {"password": 987654321, "n": 7}, "b": {"api_key": {"x": [1.5, True, -3]}}, "secret": [42]}
    found, _ = after(given, compiled=compiled)
    assert found == {"a": {"password": 0, "n": 7}, "b": {"api_key": {"*": [0.0, False, 0]}}, "secret": [0]}
