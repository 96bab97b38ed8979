"""How far people agree with each other: no evaluator can agree better with all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalgate.database import sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evalgate.database import TenantDatabase


@dataclass(frozen=True, slots=True)
class Agreement:
    """Traces (or spans) that several people labelled, of which one named the failure mode."""

    several: int = 0
    agree: int = 0
    """Of these, where all say the same verdict and name the same mode."""


def read_agreement(database: TenantDatabase) -> dict[str, Agreement]:
    """Return how far people agree, by failure mode; a mode that nobody labelled after another is left out."""
    return agreement_of(database.rows(sql(__package__, "several")))


def agreement_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Agreement]:
    """Return the same of rows with `said`, pairs of verdict and failure mode ("" for none)."""
    found: dict[str, Agreement] = {}
    for row in rows:
        said = {(str(verdict), str(mode)) for verdict, mode in row["said"]}
        for mode in {mode for _, mode in said if mode}:
            known = found.get(mode, Agreement())
            found[mode] = Agreement(known.several + 1, known.agree + (len(said) == 1))
    return found
