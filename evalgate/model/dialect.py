"""What endpoints differ in: parameters that some do not take, which they say with 400 or 422."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalgate.model.answer import Fault

TOO_LONG = ("context length", "context_length", "context window", "too long", "maximum context")
"""Words of complaints that no change of parameters can answer."""
MAX_CHANGES = 6
"""Of parameters, for one call: there are five that may change."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint takes of a model. All is taken until it says otherwise."""

    response_format: str = "json_schema"
    """json_schema, json_object or none."""
    max_tokens: str = "max_tokens"
    """Or max_completion_tokens."""
    temperature: bool = True
    seed: bool = True

    def body(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request as this endpoint takes it."""
        body = dict(asked)
        if "response_format" in body and self.response_format != "json_schema":
            del body["response_format"]
            if self.response_format == "json_object":
                body["response_format"] = {"type": "json_object"}
        if "max_tokens" in body and self.max_tokens != "max_tokens":
            body[self.max_tokens] = body.pop("max_tokens")
        for name, taken in (("temperature", self.temperature), ("seed", self.seed)):
            if not taken:
                body.pop(name, None)
        return body

    def without(self, fault: Fault, asked: Mapping[str, Any]) -> Dialect | None:
        """Return what else to try after a complaint, None where nothing is left."""
        if fault.status not in (400, 422) or any(words in fault.message.lower() for words in TOO_LONG):
            return None
        told = f"{fault.param} {fault.message}"
        for name in ("max_tokens", "temperature", "seed"):
            if name in asked and name in told and (other := self._drop(name)):
                return other
        return self._drop("response_format") if "response_format" in asked else None

    def _drop(self, name: str) -> Dialect | None:
        match name:
            case "max_tokens" if self.max_tokens == "max_tokens":
                return replace(self, max_tokens="max_completion_tokens")
            case "temperature" if self.temperature:
                return replace(self, temperature=False)
            case "seed" if self.seed:
                return replace(self, seed=False)
            case "response_format" if self.response_format != "none":
                return replace(self, response_format="json_object" if self.response_format == "json_schema" else "none")
            case _:
                return None
