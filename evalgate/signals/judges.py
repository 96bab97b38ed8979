"""Which evaluators look for the same failure: two that judge one trace and differ are worth a person's look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import yaml

from evalgate.places import EVALUATORS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_FILE_BYTES: Final = 1 << 20


def modes_looked_for(folder: Path = EVALUATORS) -> Mapping[str, str]:
    """Return the failure mode of each evaluator of a folder that has one, by its id.

    Scores that are sent as feedback under an evaluator's id are its judgements. A file with mistakes says nothing here:
    `evalgate evals check` names them.
    """
    found = {}
    for path in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                continue
            said = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError):
            continue
        if isinstance(said, dict) and isinstance(said.get("id"), str) and isinstance(said.get("failure_mode"), str):
            found[said["id"]] = said["failure_mode"]
    return found
