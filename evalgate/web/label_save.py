"""What a form of the queue runner says becomes a label: once, however often it is sent.

A browser sends a form again when its answer was lost, and a process can die between a label and its case. So the id of
the annotation follows from who says what of which trace with which form: the same form sent again is the same
annotation, whose case and issue are repaired where they lack; the same form with other words is a further one; and
nobody's form can name the annotation of somebody else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from evalgate.database import sql
from evalgate.errors import BadInput
from evalgate.queue.reserve import check_label
from evalgate.review.labels import draft_of, failure_modes, save
from evalgate.select.reading import conversation
from evalgate.select.traces import load_trace
from evalgate.web.label_form import label_of_form
from evalgate.web.runner import role_for
from schema.verdict import Role

if TYPE_CHECKING:
    from evalgate.database import TenantDatabase
    from evalgate.web.label_form import LabelForm
    from evalgate.web.runner import Desk


def annotation_id_of(annotator: str, trace_id: str, form: LabelForm) -> str:
    """Return the id of what somebody says of a trace with a form: 32 hex digits."""
    said = json.dumps([annotator, trace_id, asdict(form)], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def save_form(database: TenantDatabase, at: Desk, trace_id: str, sent: LabelForm) -> None:
    """Save the label of a form, with its case and issue; of one that is saved, what lacks of these.

    Raises:
        LikeKnown: its failure mode is probably a known one; whoever sent it is asked.
        BadInput: it cannot be saved, may not be, or was undone; the words are for who sent it.

    """
    trace = load_trace(database, trace_id)
    own = annotation_id_of(at.reviewer, trace_id, sent)
    standing = next((row for row in trace.labels if row["annotation_id"] == own), None)
    if standing is None and database.rows(sql(__package__, "undone_label"), {"annotation_id": own}):
        raise BadInput("this label was undone. Save it again if you mean it")
    item = at.find(trace_id)
    said = label_of_form(
        sent,
        conversation(trace),
        trace_id=trace_id,
        annotator=at.reviewer,
        queue=at.queue.name,
        role=Role(standing["role"]) if standing else role_for(item, at.reviewer),
        known=failure_modes(database) if sent.other_mode else (),
    )
    draft = draft_of(trace, said, new_id=lambda: own)
    if standing is not None and not draft.repeated:
        return  # he has said something else since
    if not draft.repeated:
        check_label(at.queue, item, at.reviewer)
    save(database, [draft])
