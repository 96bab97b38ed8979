"""What a reviewer has decided of a trace and not saved yet. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalgate.terminal import one_line
from schema.verdict import Label, Role, Verdict

if TYPE_CHECKING:
    from schema.verdict import Anchor, Severity


@dataclass(frozen=True, slots=True)
class Form:
    """A label that is being made."""

    verdict: Verdict | None = None
    failure_mode: str | None = None
    severity: Severity | None = None
    comment: str = ""
    corrected_output: str | None = None
    anchors: tuple[Anchor, ...] = ()

    @classmethod
    def of(cls, label: Label) -> Form:
        """Return the form that says what a label says."""
        return cls(
            label.verdict,
            label.failure_mode,
            label.severity,
            label.comment,
            label.corrected_output,
            label.anchors,
        )

    def judged(self, verdict: Verdict) -> Form:
        """Return the form with this verdict. A good trace fails in no way: mode and severity go."""
        if verdict is Verdict.GOOD:
            return replace(self, verdict=verdict, failure_mode=None, severity=None, corrected_output=None)
        return replace(self, verdict=verdict)

    def failing(self, failure_mode: str | None) -> Form:
        """Return the form with this failure mode: the trace is bad, unless it is partial."""
        return replace(self._not_good(), failure_mode=failure_mode)

    def severe(self, severity: Severity | None) -> Form:
        """Return the form with this severity."""
        return replace(self._not_good(), severity=severity)

    def corrected(self, text: str | None) -> Form:
        """Return the form with what should have been said."""
        return replace(self._not_good(), corrected_output=text) if text else replace(self, corrected_output=None)

    def label(self, trace_id: str, annotator: str, *, queue: str = "", role: Role = Role.LABEL) -> Label:
        """Return the label.

        Raises:
            ValueError: there is no verdict yet.

        """
        if self.verdict is None:
            raise ValueError("say g, b or p first")
        return Label(
            trace_id=trace_id,
            span_id="",
            verdict=self.verdict,
            failure_mode=self.failure_mode,
            corrected_output=self.corrected_output,
            comment=self.comment,
            annotator=annotator,
            severity=self.severity,
            anchors=self.anchors,
            queue=queue,
            role=role,
        )

    @property
    def words(self) -> str:
        """What it says, on one line."""
        said = [self.verdict or "no verdict yet", self.failure_mode or "", self.severity or ""]
        if self.anchors:
            where = sorted({a.message + 1 for a in self.anchors if a.message is not None})
            said.append(f"about {'message' if len(where) == 1 else 'messages'} {', '.join(map(str, where))}")
        if self.corrected_output:
            said.append(f"should be: {one_line(self.corrected_output, 40)}")
        if self.comment:
            said.append(f"“{one_line(self.comment, 40)}”")
        return " · ".join(one_line(str(s)) for s in said if s)

    def _not_good(self) -> Form:
        return replace(self, verdict=Verdict.BAD) if self.verdict in (None, Verdict.GOOD) else self
