"""Measurements on disk.

    evals/alignment/<evaluator id>.jsonl         one measurement per line, append-only, the newest last
    evals/alignment/<evaluator id>.split.json    of a generated evaluator: which cases it was made from

Both are committed: a gate in CI asks for nothing else. Two branches that both measured merge line by line.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from evalgate.files import read_json, read_jsonl, to_json_line
from schema.alignment import Measurement, Split, measurement_to_json, parse_measurement
from schema.evaluator import ID
from schema.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterable

ALIGNMENT: Final = Path("evals/alignment")
MADE_FROM: Final = ("train", "validation")
"""Parts of a split that the evaluator has seen."""


def read_measurements(evaluator: str, folder: Path = ALIGNMENT) -> tuple[Measurement, ...]:
    """Return all measurements of an evaluator, in the order of their times; none is no error.

    Raises:
        BadInput: a line is no measurement, or of another evaluator.

    """
    path = folder / f"{_safe(evaluator)}.jsonl"
    if not path.is_file():
        return ()
    found = []
    for number, value in read_jsonl(path):
        try:
            if isinstance(value, ValueError):
                raise value
            measurement = parse_measurement(value)
        except ValueError as e:
            raise BadInput(
                f"{path}, line {number}: {e}. Remove the line, and measure again: evalgate evals align {evaluator}"
            ) from None
        if measurement.evaluator != evaluator:
            raise BadInput(f"{path}, line {number}: this is a measurement of {measurement.evaluator!r}")
        found.append(measurement)
    return tuple(sorted(found, key=lambda m: m.at))


def append_measurement(measurement: Measurement, folder: Path = ALIGNMENT) -> bool:
    """Append a measurement durably; False: the last of its kind says exactly this already, and nothing was written.

    One line is one write: two who append at the same time give two lines.

    Raises:
        BadInput: the file cannot be written.

    """
    for known in reversed(read_measurements(measurement.evaluator, folder)):
        if known.version == measurement.version and known.split == measurement.split:
            if replace(known, at=measurement.at, cost_usd=measurement.cost_usd) == measurement:
                return False
            break
    path = folder / f"{_safe(measurement.evaluator)}.jsonl"
    line = (to_json_line(measurement_to_json(measurement)) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # an editor left out the last newline
            os.write(handle, (b"\n" if torn else b"") + line)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as e:
        raise BadInput(f"cannot write {path}: {e.strerror or e}") from None
    return True


def latest(evaluator: str, version: str, folder: Path = ALIGNMENT, *, model: str | None = None) -> Measurement | None:
    """Return the measurement that the permission of this version of an evaluator rests on; None: it was not measured.

    That is the newest on all cases it may be measured on; those labelled since the one before (`Split.NEW`) raise an
    alarm and give no permission. A judge that asks another `model` is another judge: what was measured is not its.
    """
    return resting(read_measurements(evaluator, folder), version, model=model)


def resting(history: Iterable[Measurement], version: str, *, model: str | None = None) -> Measurement | None:
    """Return the one of these that permission rests on, the last where several are of one time. `model` None: any."""
    found = None
    for measurement in history:
        if measurement.version != version or measurement.split is Split.NEW:
            continue
        if model is None or measurement.model in (None, model):
            found = measurement
    return found


def made_from(evaluator: str, folder: Path = ALIGNMENT) -> dict[str, str]:
    """Return id to `seen_hash` of the cases that a generated evaluator was made from; empty where no split is kept.

    Raises:
        BadInput: the file of the split is not one.

    """
    path = folder / f"{_safe(evaluator)}.split.json"
    if not path.is_file():
        return {}
    try:
        parts = Fields(Fields(read_json(path), "a split").mapping("parts"), "parts")
        return {str(i): str(seen) for part in MADE_FROM for i, seen in parts.mapping(part).items()}
    except ValueError as e:
        raise BadInput(f"{path}: {e}. It says which cases the evaluator was made from: generate it again") from None


def _safe(evaluator: str) -> str:
    if not ID.fullmatch(evaluator):
        raise BadInput(f"{evaluator!r} cannot be the id of an evaluator")
    return evaluator
