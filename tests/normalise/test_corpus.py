"""The judge over the whole corpus: real payloads of every dialect against the truth beside them."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.normalise.payload import CORPUS

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

FLOOR, FIELD_FLOOR, DIALECT_FLOOR = 0.998, 0.97, 0.97
CLI = "import typer; from collector.normalize import normalize_command; typer.run(normalize_command)"


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", CORPUS.parent / "tools" / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_dialect_is_read_right(judge: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "checks.json"
    command = f'{sys.executable} -W error -c "{CLI}"'
    options = ["--batch", "--corpus", str(CORPUS), "--json", str(report), "--verbose"]
    code = judge.main([*options, "--min", str(FLOOR), "--min-field", str(FIELD_FLOOR), command])
    assert code == 0, capsys.readouterr().out
    checks: list[dict[str, Any]] = json.loads(report.read_text())
    assert len(checks) > 5000
    tally: dict[str, list[bool]] = {}
    for check in checks:
        tally.setdefault(check["capture"].split("/")[0], []).append(check["passed"])
    low = {dialect: sum(p) / len(p) for dialect, p in tally.items() if sum(p) / len(p) < DIALECT_FLOOR}
    assert not low
