"""What the compatible gate prints and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.files import write_atomic
from evalgate.gate.compatible.report import BENCH
from evalgate.terminal import UNSAFE, json_escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalgate.gate.compatible.checks import Check
    from evalgate.terminal import Terminal

STDOUT = "-"
NO_CHECKS = "No checks configured. Pass --threshold, --dimension-threshold, --metric-threshold or --baseline."


def payload_of(eval_type: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the payload of a report that was checked."""
    failed = sum(not c["passed"] for c in checks)
    payload: dict[str, Any] = {
        "status": "fail" if failed else "pass",
        "eval_type": eval_type,
        "checks": list(checks),
        "summary": {"total_checks": len(checks), "passed": len(checks) - failed, "failed": failed},
    }
    if items := sum(c["type"] == "item_regression" for c in checks):
        payload["item_regressions"] = items
    return payload


def unconfigured_payload() -> dict[str, Any]:
    """Return the payload of a call that asks for nothing."""
    return {"status": "pass", "checks": [], "warning": NO_CHECKS}


def error_payload(message: str) -> dict[str, Any]:
    """Return the payload of a call that cannot be answered."""
    return {"status": "error", "error": message, "checks": []}


def write_payload(terminal: Terminal, payload: dict[str, Any], json_output: str | None) -> None:
    """Write the payload where it is asked for. NaN and infinities stay bare, as the readers of this payload know them.

    Raises:
        BadInput: the place cannot be written.

    """
    if json_output is None:
        return
    text = UNSAFE.sub(json_escape, json.dumps(payload, indent=2, ensure_ascii=False)) + "\n"
    if json_output == STDOUT:
        terminal.out.write(text)
        return
    path = Path(json_output)
    if not path.parent.is_dir():
        raise BadInput(f"cannot write {path}: there is no folder {path.parent}")
    write_atomic(path, text)


def print_payload(terminal: Terminal, payload: dict[str, Any]) -> None:
    """Print the checks, then the verdict, for people."""
    if warning := payload.get("warning"):
        terminal.say(f"Warning: {warning}")
        return
    decimals = 2 if payload["eval_type"] == BENCH else 4
    if payload["checks"]:
        rows = [_row(c, payload["eval_type"], decimals) for c in payload["checks"]]
        terminal.table(("target", "check", "value", "threshold", "result"), rows)
        terminal.say()
    elif payload["status"] == "pass":
        terminal.note("Warning: nothing in the report could be checked, which passes in this mode")
    passed = payload["status"] == "pass"
    terminal.say(f"Gate: {'PASS' if passed else 'FAIL'}", style="bold green" if passed else "bold red")


def _row(check: Check, eval_type: str, decimals: int) -> tuple[str, str, str, str, str]:
    name = str(check.get("dimension", check.get("metric", check.get("check", check["type"]))))
    words = {"regression": f"regression:{name}", "item_regression": f"item:{check.get('item_id')}:{name}"}
    value = f"{check['drop']:+.{decimals}f}" if "drop" in check else f"{check['value']:.{decimals}f}"
    return (
        str(check.get("model", eval_type)),
        words.get(check["type"], name),
        value,
        f"{check['threshold']:.{decimals}f}",
        "PASS" if check["passed"] else "FAIL",
    )
