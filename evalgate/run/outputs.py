"""Outputs of targets that are kept between runs: .evalgate/cache/outputs/3f/3f9c…e1.json.

The key is the hash of what the target is told and of the target's identity: for a model its name, endpoint, prompt,
tools and temperature. A repeat never reads it: repeats are there to see what the target does another time. Programs,
functions and endpoints are kept only where the user says so (--cache): what is behind their names changes unseen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.model.cache import ModelCache
from evalgate.run.engine import Outputs
from schema.hashing import content_hash
from schema.run import output_to_json, parse_output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema.run import Output

OUTPUTS = Path(".evalgate/cache/outputs")


class KeptOutputs(Outputs):
    """Outputs of one target."""

    def __init__(self, identity: Mapping[str, Any], folder: Path = OUTPUTS) -> None:
        self._identity = dict(identity)
        self._cache = ModelCache(folder)

    def get(self, request: Mapping[str, Any]) -> tuple[Output, float] | None:
        """Return the output for a request, and what it took in ms; None where none is kept that can be read."""
        entry = self._cache.get(self._key(request))
        if entry is None:
            return None
        try:
            return parse_output(entry["output"]), float(entry["duration_ms"])
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, request: Mapping[str, Any], output: Output, duration_ms: float) -> None:
        """Keep an output."""
        self._cache.put(self._key(request), {"output": output_to_json(output), "duration_ms": duration_ms})

    def _key(self, request: Mapping[str, Any]) -> str:
        return content_hash({"target": self._identity, "request": dict(request)})
