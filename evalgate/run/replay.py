"""Answer tool calls from what the tools answered in production, so that a case of many steps is the same each time.

    replay = Replay(case)                         # in a target of your own: what the run was given with --replay
    found = replay.call("look_up_order", {"id": 7})

A call is matched by name and arguments: the first record of them that is left, or, when all are used, the last one
again. Where no record has these arguments, the next one of that name is taken that is left: the model words its search
a little otherwise. Where there is none either, nobody knows what the tool would have said: `NoRecord`. Both are told in
`notes`. No tool runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evalgate.terminal import one_line
from schema.hashing import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOTE_CHARS = 200


class NoRecord(LookupError):
    """Production never called this tool like that, or its result was not kept."""


class ToolFailed(RuntimeError):
    """The tool failed in production too; the message is its own."""


class Replay:
    """The records of one case. One per attempt: it remembers which are used."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        records = case.get("replay")
        if records is None:
            records = (case.get("observed") or {}).get("tool_calls")
        self._records: list[Mapping[str, Any]] = [r for r in records or () if isinstance(r, dict)]
        self._left = list(range(len(self._records)))
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: calls that were answered by another's record, or not at all."""
        return tuple(self._notes)

    def call(self, name: str, arguments: Any = None) -> Any:
        """Return what the tool answered in production.

        Raises:
            NoRecord: there is no record to answer from; tell the model that the call failed.
            ToolFailed: the tool failed in production.

        """
        found = self._find(name, arguments)
        if found is None:
            self._notes.append(one_line(f"no recorded result of {name}({_shown(arguments)})", NOTE_CHARS))
            raise NoRecord(f"no result of {name} was recorded for these arguments")
        record = self._records[found]
        if found in self._left:
            self._left.remove(found)
        if "result" in record:
            return record["result"]
        if record.get("error"):
            raise ToolFailed(str(record["error"]))
        self._notes.append(one_line(f"the result of {name}({_shown(arguments)}) was not recorded", NOTE_CHARS))
        raise NoRecord(f"the result of {name} was not recorded")

    def _find(self, name: str, arguments: Any) -> int | None:
        named = [n for n, r in enumerate(self._records) if r.get("name") == name]
        wanted = _key(arguments)
        exact = [n for n in named if _key(self._records[n].get("arguments")) == wanted]
        if exact:
            return next((n for n in exact if n in self._left), exact[-1])
        other = next((n for n in named if n in self._left), None)
        if other is not None:
            recorded = _shown(self._records[other].get("arguments"))
            note = f"{name}({_shown(arguments)}) was answered by the record of {name}({recorded})"
            self._notes.append(one_line(note, NOTE_CHARS))
        return other


def describe_tools(calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return {name, description, parameters} of each tool that was called, as far as its calls tell.

    Each argument that was ever given is a property; those that were always given are required.
    """
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for call in calls:
        arguments = call.get("arguments")
        if isinstance(call.get("name"), str):
            seen.setdefault(call["name"], []).append(arguments if isinstance(arguments, dict) else {})
    return [
        {
            "name": name,
            "description": f"The tool {name}, as production called it.",
            "parameters": {
                "type": "object",
                "properties": {
                    p: _type_of([a[p] for a in given if p in a]) for p in sorted({p for a in given for p in a})
                },
                "required": sorted(set.intersection(*(set(a) for a in given))),
            },
        }
        for name, given in sorted(seen.items())
    ]


def _type_of(values: list[Any]) -> dict[str, Any]:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    found = sorted({names[type(v)] for v in values if type(v) in names})
    if found == ["integer", "number"]:
        found = ["number"]
    return {"type": found[0]} if len(found) == 1 else {}


def _key(arguments: Any) -> bytes:
    """Return what makes two calls the same; no arguments are an empty object."""
    try:
        return canonical_json({} if arguments is None else arguments)
    except (TypeError, ValueError, RecursionError):
        return repr(arguments).encode("utf-8", "replace")


def _shown(arguments: Any) -> str:
    return json.dumps(arguments, ensure_ascii=False, sort_keys=True, default=str)
