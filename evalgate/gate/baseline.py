"""The accepted state: what each case of each dataset came to. A file that is committed and changes only on purpose.

{"schema": "evalgate/baseline/2",
 "checksum": "sha256:…",                     over the canonical JSON of everything else
 "datasets": {"refunds": {"base": {…},       evalgate.gate.base
                          "source": {"commit", "dirty", "evalgate", "by", "reason", "run_sha256"}}}}

A file that was edited by hand fails its checksum, and a gate that is given one says nothing: exit 2. The checksum tells
accidents and quick edits; against somebody who can compute one stands the review of the commit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate import places
from evalgate.errors import BadInput
from evalgate.files import read_text, strict_json, to_json, write_atomic
from evalgate.gate.base import base_to_json, parse_base
from schema.fields import Fields, Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evalgate.gate.base import Base

BASELINE = places.BASELINE
SCHEMA = "evalgate/baseline/2"
MAX_BASELINE_BYTES = 256 * 1024 * 1024
PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an accepted state comes from."""

    commit: str | None
    """The commit it was accepted at; None: no repository, or nothing committed."""
    dirty: bool | None
    """Whether files had been changed and not committed; None: nobody could tell."""
    evalgate: str
    """The version that wrote it."""
    by: str | None
    reason: str | None
    run_sha256: str
    """Of the run file it was made from."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The accepted state of one dataset."""

    base: Base
    source: Source


def read_baselines(path: Path) -> dict[str, Accepted]:
    """Return the accepted state of each dataset.

    Raises:
        BadInput: the file is no baseline, or is not as it was written.

    """
    if path.is_file() and path.stat().st_size > MAX_BASELINE_BYTES:
        raise BadInput(f"{path} is larger than {MAX_BASELINE_BYTES} bytes: that is no baseline")
    return parse_baselines(read_text(path), str(path))


def parse_baselines(text: str, where: str) -> dict[str, Accepted]:
    """Return the accepted state of each dataset from the text of a file.

    Raises:
        BadInput: the text is no baseline, or is not as it was written.

    """
    try:
        document = strict_json(text)
    except ValueError as e:
        raise BadInput(f"{where} is not JSON: {e}. Get the committed baseline back with git") from None
    try:
        fields = Fields(document, "a baseline")
        if (spoken := fields.any("schema")) != SCHEMA:
            raise Malformed(f"its schema is {spoken!r}, not {SCHEMA!r}")
        stated = fields.text("checksum")
        found = {name: _parse(value) for name, value in fields.mapping("datasets").items()}
        fields.close()
    except ValueError as e:
        words = str(e).removesuffix(".")
        raise BadInput(
            f"{where} is not a baseline: {words}. Remove the file and accept runs anew: evalgate baseline accept"
        ) from None
    if stated != (actual := checksum_of(document)):
        raise BadInput(
            f"{where} is not as it was written: its checksum is {actual}, the file says {stated}. "
            "Get the committed one back with git, or remove the file and accept runs anew: evalgate baseline accept"
        )
    return found


def checksum_of(document: Mapping[str, Any]) -> str:
    """Return the checksum of a baseline document: SHA-256 over its JSON without `checksum`, keys sorted, no spaces."""
    rest = {k: v for k, v in document.items() if k != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()


def write_baselines(path: Path, accepted: Mapping[str, Accepted]) -> None:
    """Write the accepted states, durably and in one step; datasets that are not named stay as they are.

    Raises:
        BadInput: the file there is no baseline or was edited, or the place cannot be written.

    """
    known = read_baselines(path) if path.exists() else {}
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "datasets": {name: _json(a) for name, a in sorted({**known, **accepted}.items())},
    }
    write_atomic(path, to_json({"schema": SCHEMA, "checksum": checksum_of(document), **document}))


def remove_from_baseline(path: Path, dataset: str) -> None:
    """Forget the accepted state of one dataset.

    Raises:
        BadInput: there is none, or the file is no baseline.

    """
    known = read_baselines(path)
    if dataset not in known:
        raise BadInput(
            f"{path} has nothing for the dataset {dataset!r}. It has: {', '.join(sorted(known)) or 'nothing'}"
        )
    rest = {n: a for n, a in known.items() if n != dataset}
    document = {"schema": SCHEMA, "datasets": {n: _json(a) for n, a in sorted(rest.items())}}
    write_atomic(path, to_json({"schema": SCHEMA, "checksum": checksum_of(document), **document}))


def _json(accepted: Accepted) -> dict[str, Any]:
    source = accepted.source
    return {
        "base": base_to_json(accepted.base),
        "source": {
            "commit": source.commit,
            "dirty": source.dirty,
            "evalgate": source.evalgate,
            "by": source.by,
            "reason": source.reason,
            "run_sha256": source.run_sha256,
        },
    }


def _parse(value: Any) -> Accepted:
    fields = Fields(value, "a dataset's baseline")
    source = Fields(fields.mapping("source"), "'source'")
    accepted = Accepted(
        base=parse_base(fields.any("base")),
        source=Source(
            commit=source.optional_text("commit"),
            dirty=source.optional_bool("dirty"),
            evalgate=source.text("evalgate"),
            by=source.optional_text("by"),
            reason=source.optional_text("reason"),
            run_sha256=source.text("run_sha256"),
        ),
    )
    source.close()
    fields.close()
    if accepted.base.accepted_at is None:
        raise Malformed("'accepted_at' is missing: nobody accepted it")
    if accepted.base.policy is None:
        raise Malformed("'policy' is missing: nobody can tell what was asked of it")
    return accepted
