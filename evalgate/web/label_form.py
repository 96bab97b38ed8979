"""The form of the queue runner: what was typed, and the label it says. Pure.

A place in a message is sent as "message:start:end", counted in characters of the text as the page shows it; a message
as a whole is sent by its number.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evalgate.errors import BadInput
from evalgate.review.anchors import anchor_at
from evalgate.review.naming import named
from evalgate.web import forms
from evalgate.web.conversation import recorded, shown
from schema.verdict import MAX_ANCHORS, Label, Role, Severity, Verdict, failure_mode_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import FormData

    from evalgate.select.reading import Line
    from schema.verdict import Anchor

TOKEN: Final = re.compile(r"[0-9a-f]{32}")
PLACE: Final = re.compile(r"(\d{1,9}):(\d{1,9}):(\d{1,9})")
MAX_COMMENT_CHARS: Final = 10_000
MAX_OUTPUT_CHARS: Final = 200_000
QUOTE_CHARS: Final = 60


def new_token() -> str:
    """Return what tells a form from the next one: sent twice, it is one label."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Chip:
    """A place that was pointed at, as the form sends it and shows it."""

    value: str
    quote: str


@dataclass(frozen=True, slots=True)
class LabelForm:
    """What stands in the form."""

    token: str
    verdict: str = ""
    mode: str = ""
    """A known failure mode that was picked."""
    other_mode: str = ""
    """One that was typed; it goes before the other."""
    severity: str = ""
    comment: str = ""
    corrected_output: str = ""
    about: tuple[int, ...] = ()
    """Messages as a whole."""
    places: tuple[str, ...] = ()
    like: str = ""
    """The known failure mode that was taken for the one that was typed, when that was asked."""
    is_new: str = ""
    """The failure mode that was typed, when it was asked and is meant as it is."""

    @property
    def words(self) -> str:
        """What somebody chose and typed, to be read and copied where it cannot be saved."""
        said = (
            ("verdict", self.verdict),
            ("failure mode", self.other_mode or self.mode),
            ("severity", self.severity),
            ("comment", self.comment),
            ("what it should have said", self.corrected_output),
        )
        return "\n".join(f"{name}: {text}" for name, text in said if text.strip())

    def chips(self, lines: Sequence[Line]) -> list[Chip]:
        """Return the places with the words that stand there; those that are nowhere are left out."""
        found = []
        for value in self.places:
            try:
                anchor = _anchor(value, lines)
            except ValueError:
                continue
            found.append(Chip(value, anchor.quote[:QUOTE_CHARS]))
        return found


class LikeKnown(BadInput):
    """A failure mode was typed that is probably a known one, spelled differently: whoever typed it is asked."""

    def __init__(self, mode: str, like: str) -> None:
        super().__init__(f"{mode!r} is new, and like {like!r}: choose which one you mean. Nothing was saved yet")
        self.mode = mode
        self.like = like


def form_of(label: Label, lines: Sequence[Line], token: str) -> LabelForm:
    """Return the form that says what a label says."""
    about = [a.message for a in label.anchors if a.message is not None and a.start is None]
    places = [
        f"{a.message}:{shown(lines[a.message].text, a.start)}:{shown(lines[a.message].text, a.end)}"
        for a in label.anchors
        if a.message is not None and a.message < len(lines) and a.start is not None and a.end is not None
    ]
    return LabelForm(
        token=token,
        verdict=str(label.verdict),
        mode=label.failure_mode or "",
        severity=str(label.severity or ""),
        comment=label.comment,
        corrected_output=label.corrected_output or "",
        about=tuple(about),
        places=tuple(places),
    )


def read_form(form: FormData) -> LabelForm:
    """Return what was sent, cut to what can be kept.

    Raises:
        BadInput: it is no form of ours.

    """
    token = forms.typed(form, "token")
    if not TOKEN.fullmatch(token):
        raise BadInput("this form is not complete: open the item again")
    about = [str(v) for v in form.getlist("about")]
    return LabelForm(
        token=token,
        verdict=forms.typed(form, "verdict"),
        mode=forms.typed(form, "mode"),
        other_mode=forms.typed(form, "other_mode").strip(),
        severity=forms.typed(form, "severity"),
        comment=forms.typed(form, "comment").strip(),
        corrected_output=forms.typed(form, "corrected_output"),
        about=tuple(dict.fromkeys(int(v) for v in about if v.isascii() and v.isdigit() and len(v) < 10)),
        places=tuple(dict.fromkeys(str(v) for v in form.getlist("place"))),
        like=forms.typed(form, "like"),
        is_new=forms.typed(form, "is_new"),
    )


def mode_of_form(form: LabelForm, known: Sequence[str]) -> str | None:
    """Return the failure mode; `known` are those that people have named, the most frequent first.

    Raises:
        LikeKnown: it is like a known one, and nobody has said which is meant.
        ValueError: that is no name.

    """
    if not form.other_mode:
        return failure_mode_of(form.mode)
    found = named(form.other_mode, known)
    if found.like is None or form.is_new == found.failure_mode:
        return found.failure_mode
    if form.like == found.like:
        return found.like
    raise LikeKnown(found.failure_mode or "", found.like)


def label_of_form(
    form: LabelForm,
    lines: Sequence[Line],
    *,
    trace_id: str,
    annotator: str,
    queue: str,
    role: Role,
    known: Sequence[str] = (),
) -> Label:
    """Return the label; `known` as in `mode_of_form`.

    Raises:
        LikeKnown: as `mode_of_form`.
        BadInput: something is missing or cannot be; the words are for who typed it.

    """
    try:
        verdict = Verdict(form.verdict)
    except ValueError:
        raise BadInput("choose a verdict first: good, bad or partial (keys g, b, p)") from None
    for name, text, limit in (
        ("comment", form.comment, MAX_COMMENT_CHARS),
        ("corrected output", form.corrected_output, MAX_OUTPUT_CHARS),
    ):
        if len(text) > limit:
            raise BadInput(f"the {name} has {len(text)} characters; the limit is {limit}")
    if len(form.about) + len(form.places) > MAX_ANCHORS:
        raise BadInput(f"a label is about at most {MAX_ANCHORS} places; this one has more")
    try:
        mode = mode_of_form(form, known)
        severity = Severity(form.severity) if form.severity else None
        anchors = (*(anchor_at(lines, n) for n in form.about), *(_anchor(p, lines) for p in form.places))
        label = Label(
            trace_id=trace_id,
            span_id="",
            verdict=verdict,
            failure_mode=mode,
            corrected_output=form.corrected_output if form.corrected_output.strip() else None,
            comment=form.comment,
            annotator=annotator,
            severity=severity,
            anchors=anchors,
            queue=queue,
            role=role,
        )
    except ValueError as e:
        raise BadInput(str(e)) from None
    return label


def _anchor(value: str, lines: Sequence[Line]) -> Anchor:
    match = PLACE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value[:40]!r} is no place in the conversation")
    message, start, end = (int(g) for g in match.groups())
    if message >= len(lines):
        raise ValueError(f"the conversation has {len(lines)} messages; there is no number {message + 1}")
    text = lines[message].text
    return anchor_at(lines, message, recorded(text, start), recorded(text, end))
