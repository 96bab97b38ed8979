"""What `evaly gate` (evalytic 0.6.0) did with reports and flags, and how an outcome is compared with it.

recorded.jsonl   104 cases that everybody who claims compatibility is measured by
probed.jsonl     further reports, most of them odd, each shown to the same tool

A line is {name, class, note, argv, payload_in, files, exit, payload}. `payload_in` is where the payload is written:
"stdout", the name of a file, or null. Where the tool died, the line holds what its documentation promises: exit 2 and
a payload of status "error". Numbers that JSON lacks are {"$float": "NaN"}.
"""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FREE_TEXT = frozenset({"error", "warning"})
TOLERANCE = 1e-9


def read(name: str) -> list[dict[str, Any]]:
    """Return the cases of a file."""
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines()]


def write_files(case: dict[str, Any], folder: Path) -> None:
    """Write the report and the baseline of a case."""
    for name, content in case["files"].items():
        data = base64.b64decode(content["base64"]) if isinstance(content, dict) else content.encode()
        (folder / name).write_bytes(data)


def written_payload(case: dict[str, Any], folder: Path, stdout: str) -> Any:
    """Return the payload that a call left, None where there is none or it is no JSON."""
    where = case["payload_in"]
    if where is None:
        return None
    text = stdout if where == "stdout" else (folder / where).read_text("utf-8") if (folder / where).is_file() else ""
    try:
        return json.loads(text)
    except ValueError:
        return None


def differences(wanted: Any, got: Any, path: str = "$") -> list[str]:
    """Return where a payload is not the recorded one; further fields and other words in messages are allowed."""
    if isinstance(wanted, dict) and set(wanted) == {"$float"}:
        wanted = float(wanted["$float"])
    if isinstance(wanted, dict):
        if not isinstance(got, dict):
            return [f"{path}: wanted an object, got {got!r}"]
        lines = []
        for key, value in wanted.items():
            if key not in got:
                lines.append(f"{path}.{key} is missing")
            elif key in FREE_TEXT:
                lines += [] if isinstance(got[key], str) and got[key].strip() else [f"{path}.{key} says nothing"]
            else:
                lines += differences(value, got[key], f"{path}.{key}")
        return lines
    if isinstance(wanted, list):
        if not isinstance(got, list) or len(got) != len(wanted):
            return [f"{path}: wanted {len(wanted)} entries, got {got!r}"]
        return [
            line for i, (w, g) in enumerate(zip(wanted, got, strict=True)) for line in differences(w, g, f"{path}[{i}]")
        ]
    return [] if _same(wanted, got) else [f"{path}: wanted {wanted!r}, got {got!r}"]


def _same(wanted: Any, got: Any) -> bool:
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in (wanted, got)):
        return type(wanted) is type(got) and bool(wanted == got)
    both_nan = math.isnan(wanted) and math.isnan(got)
    return both_nan or wanted == got or math.isclose(wanted, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
