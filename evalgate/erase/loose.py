"""Log records and feedback of a user that no trace tells of.

They name the user, or nobody and a session or response of the user alone.
A session is a user's when every stored span of it is in a trace that goes; a response, too. Feedback does not keep who
gave it: it is found by the log record that it was made of.
"""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Any, Final

from evalgate.database import sql
from evalgate.erase.target import IDS_AT_A_TIME, IN_TENANT, OF_ID, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from evalgate.database import Database
    from schema.erasure import Erasure

BEFORE: Final = "received_at < fromUnixTimestamp64Nano({at:Int64}, 'UTC')"
NAMES_USER: Final = (
    "arrayExists(k -> attributes[k] = {user:String} OR resource_attributes[k] = {user:String}, {users:Array(String)})"
)
NAMES_SOMEBODY: Final = "arrayExists(k -> attributes[k] != '' OR resource_attributes[k] != '', {users:Array(String)})"
SESSION: Final = "if(attributes['session.id'] != '', attributes['session.id'], attributes['gen_ai.conversation.id'])"
IN_CONTEXT: Final = (
    f"trace_id = toFixedString('', 16) AND NOT {NAMES_SOMEBODY} "
    f"AND (lower(hex(sipHash128('session', tenant, {SESSION}))) IN {{keys:Array(String)}} "
    "OR lower(hex(sipHash128('response', tenant, attributes['gen_ai.response.id']))) IN {keys:Array(String)})"
)
_SAID: Final = (
    "lower(hex(sipHash128(tenant, intDiv(toUnixTimestamp64Nano(received_at), 1000), time_unix_ns, %s, toString(name), "
    "ifNull(response_id, ''), substring(ifNull(comment, ''), 1, 1000)))) IN {keys:Array(String)}"
)
OF_FEEDBACK: Final = "({} OR trace_id != '' AND {})".format(_SAID % "ifNull(session_id, '')", _SAID % "trace_id")
"""Rows of what was said in a log record: of a trace, or of a session, which settlement repeats for a trace of it,
with a time of receipt in microseconds."""


def contexts_of(
    database: Database, erasure: Erasure, trace_ids: Sequence[str], remembered: Collection[str]
) -> tuple[str, ...]:
    """Return the sessions and responses, as keys, that are of these traces alone, or were before they were deleted."""
    parameters = {"tenant": erasure.tenant or ""}
    ours = dict.fromkeys(remembered, 0)
    for ids in _pieces(trace_ids):
        for row in _contexts(
            database, f"{OF_ID} AND {IN_TENANT}", {**parameters, "ids": ids, "keys": [], "any_key": 1}
        ):
            ours[row["key"]] = ours.get(row["key"], 0) + int(row["traces"])
    shared = set()
    for keys in _pieces([*ours]):
        found = _contexts(database, IN_TENANT, {**parameters, "keys": keys, "any_key": 0})
        shared |= {row["key"] for row in found if int(row["traces"]) != ours[row["key"]]}
    return tuple(sorted(ours.keys() - shared))


def loose_targets(database: Database, erasure: Erasure, contexts: Sequence[str]) -> Iterator[Target]:
    """Yield what goes of the tables feedback and events; of each piece first the feedback, which the other finds."""
    if erasure.user_id is None:
        return
    from schema.dialect import dialects  # noqa: PLC0415 - it needs the database's packages, and the gate does not

    common = {
        "tenant": erasure.tenant or "",
        "at": erasure.at_unix_ns,
        "users": list(dialects().columns["user_id"]),
    }
    wanted: list[tuple[str, dict[str, Any]]] = [(NAMES_USER, {**common, "user": erasure.user_id})]
    wanted += [(IN_CONTEXT, {**common, "keys": keys}) for keys in _pieces(contexts)]
    for condition, parameters in wanted:
        events = Target("events", f"({condition}) AND {BEFORE} AND {IN_TENANT}", parameters)
        text = Template(sql(__package__, "said")).substitute(condition=events.condition)
        said = [row["key"] for row in database.rows(text, parameters)]
        for keys in _pieces(said):
            yield Target("feedback", f"{OF_FEEDBACK} AND {IN_TENANT}", {"keys": keys, "tenant": parameters["tenant"]})
        yield events


def _contexts(database: Database, condition: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return database.rows(Template(sql(__package__, "contexts")).substitute(condition=condition), parameters)


def _pieces(of: Sequence[str]) -> Iterator[list[str]]:
    for i in range(0, len(of), IDS_AT_A_TIME):
        yield list(of[i : i + IDS_AT_A_TIME])
