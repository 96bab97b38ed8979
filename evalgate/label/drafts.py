"""What a reviewer typed and did not save, kept in a file: a line that breaks costs nothing but the last key.

.evalgate/label/<hash of who>.json        {"<trace id>": {"verdict", "failure_mode", "comment", ...}, ...}
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evalgate.errors import BadInput
from evalgate.files import read_json, to_json, write_atomic
from evalgate.label.form import Form
from schema.fields import Fields
from schema.hashing import short_hash
from schema.verdict import Verdict, anchors_json, failure_mode_of, parse_anchors, severity_of

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = Path(".evalgate/label")
MOST: Final = 100
"""Traces of which something is kept: what is older than so many others will not be gone on with."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """The file of one reviewer."""

    path: Path

    @classmethod
    def of(cls, annotator: str, tenant: str, folder: Path = FOLDER) -> Drafts:
        """Return the file of this reviewer of a tenant."""
        return cls(folder / f"{short_hash([annotator, tenant])}.json")

    def read(self) -> dict[str, Form]:
        """Return what was typed, by trace. What cannot be read is nothing: no label depends on it."""
        if not self.path.is_file():
            return {}
        try:
            value = read_json(self.path)
            return {str(trace): _form(said) for trace, said in value.items()} if isinstance(value, dict) else {}
        except (BadInput, ValueError):
            return {}

    def write(self, forms: Mapping[str, Form]) -> None:
        """Keep what was typed; a folder that cannot be written costs only that."""
        kept = {trace: _json(form) for trace, form in forms.items() if form != Form()}
        with suppress(BadInput, OSError):
            if kept:
                write_atomic(self.path, to_json(dict(list(kept.items())[-MOST:])))
            else:
                self.path.unlink(missing_ok=True)


def _json(form: Form) -> dict[str, Any]:
    said = {
        "verdict": form.verdict,
        "failure_mode": form.failure_mode,
        "severity": form.severity,
        "comment": form.comment,
        "corrected_output": form.corrected_output,
        "anchors": anchors_json(form.anchors),
    }
    return {name: value for name, value in said.items() if value}


def _form(value: Any) -> Form:
    fields = Fields(value, "what was typed")
    verdict = fields.optional_text("verdict")
    form = Form(
        Verdict(verdict) if verdict else None,
        failure_mode_of(fields.optional_text("failure_mode")),
        severity_of(fields.optional_text("severity")),
        fields.optional_text("comment") or "",
        fields.optional_text("corrected_output"),
        parse_anchors(fields.sequence("anchors")),
    )
    fields.close()
    return form
