"""Where what was generated goes: a file that people read and may edit, and is then theirs."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from evalgate.align.store import ALIGNMENT
from evalgate.errors import BadInput
from evalgate.evaluators.files import read_evaluator
from evalgate.files import read_json, read_text, to_json, write_atomic
from evalgate.generate.split import Part, Seen, Split, parse_parts, split_to_json
from evalgate.places import EVALUATORS
from evalgate.terminal import one_line
from schema.evaluator import EvaluatorSpec, spec_to_yaml
from schema.hashing import short_hash

MAX_SLUG_CHARS = 60
WORK = Path(".evalgate/generate")
"""What a generation leaves behind beside its results: answers of models, logs, earlier files."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the evaluator of one failure mode lives."""

    evaluator_id: str
    root: Path = Path()

    @property
    def file(self) -> Path:
        """The evaluator."""
        return self.root / EVALUATORS / f"{self.evaluator_id}.yaml"

    @property
    def split(self) -> Path:
        """Which cases it was made from."""
        return self.root / ALIGNMENT / f"{self.evaluator_id}.split.json"

    @property
    def alignment(self) -> Path:
        """The folder of measurements."""
        return self.root / ALIGNMENT

    @property
    def work(self) -> Path:
        """The folder of what a generation leaves behind."""
        return self.root / WORK / self.evaluator_id


def slug_of(failure_mode: str) -> str:
    """Return a failure mode as the name of a file: ASCII letters, digits and '-'.

    A name that loses something that tells it apart gets a hash of the whole.
    """
    plain = unicodedata.normalize("NFKD", failure_mode).encode("ascii", "ignore").decode("ascii").casefold()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_SLUG_CHARS].strip("-")
    lossless = re.sub(r"[\s_-]+", "-", failure_mode.casefold()).strip("-") == slug
    return slug if slug and lossless else f"{slug or 'mode'}-{short_hash(failure_mode)[:8]}"


def earlier(place: Place) -> EvaluatorSpec | None:
    """Return the evaluator that stands there now; None where there is none.

    Raises:
        BadInput: it cannot be read.

    """
    return read_evaluator(place.file).spec if place.file.exists() else None


def hand_edits(place: Place, spec: EvaluatorSpec) -> str | None:
    """Return why the file that stands there is a person's, None where it is just what was generated."""
    if spec.generated is None:
        return "a person wrote it"
    if spec.generated.version != spec.version:
        return "a person has changed what it judges since it was generated"
    if read_text(place.file) != spec_to_yaml(spec):
        return "a person has edited it since it was generated"
    return None


def known_parts(place: Place) -> dict[Seen, Part]:
    """Return which case was for what when this evaluator was generated before; empty where it was not.

    Raises:
        BadInput: the file of the split is damaged.

    """
    if not place.split.exists():
        return {}
    try:
        return parse_parts(read_json(place.split))
    except ValueError as e:
        raise BadInput(
            f"{place.split}: {one_line(str(e))}. It says which cases the evaluator was made from. "
            "Restore it, or remove it to start anew"
        ) from None


def keep_wishes(spec: EvaluatorSpec, before: EvaluatorSpec | None) -> EvaluatorSpec:
    """Return the new evaluator with what people decided in the one before: threshold, whom it judges, and so on."""
    if before is None:
        return spec
    return replace(
        spec,
        applies_to=before.applies_to if before.generated is not None else spec.applies_to,
        threshold=before.threshold,
        must_not_break=before.must_not_break,
        evidence_given=before.evidence_given,
        coverage_target=spec.coverage_target or before.coverage_target,
    )


def write_evaluator(place: Place, spec: EvaluatorSpec, split: Split, before: EvaluatorSpec | None) -> None:
    """Write the evaluator and its split; the file before is kept under `.evalgate`.

    Raises:
        BadInput: a place cannot be written.

    """
    if before is not None:
        write_atomic(place.work / "earlier" / f"{before.version}.yaml", read_text(place.file))
    write_atomic(place.split, to_json(split_to_json(split)))
    write_atomic(place.file, spec_to_yaml(spec))
