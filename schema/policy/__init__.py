"""What is flagged: which traces fail, and how many of the others are sampled. Pure but for `read_policy`.

`version` names a policy in the rows that were made under it. The same settings have the same version everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from schema.component import ComponentConfig
from schema.config_file import explain, read, spell, suggest
from schema.errors import ConfigError
from schema.policy.failure import FailurePolicy, FailureRule
from schema.policy.sample import RateRule, SamplePolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schema.config_file import Document
    from schema.config_file import Path as KeyPath

__all__ = ["FailurePolicy", "FailureRule", "Policy", "RateRule", "SamplePolicy", "policy_of", "read_policy"]

VERSION_DIGITS: Final = 12


class Policy(ComponentConfig):
    """Everything that decides what is flagged."""

    failure: FailurePolicy = FailurePolicy()
    sample: SamplePolicy = SamplePolicy()

    @property
    def body(self) -> str:
        """All settings as JSON with keys in order: equal settings, equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @property
    def version(self) -> str:
        """What names the settings: the first digits of the SHA-256 of `body`."""
        return hashlib.sha256(self.body.encode()).hexdigest()[:VERSION_DIGITS]


SECTIONS: Final = tuple(Policy.model_fields)


def policy_of(settings: Iterable[object]) -> Policy:
    """Return the policy of the settings of processors; what is no part of one is passed over."""
    found: dict[str, FailurePolicy | SamplePolicy] = {}
    for one in settings:
        if isinstance(one, FailurePolicy):
            found["failure"] = one
        elif isinstance(one, SamplePolicy):
            found["sample"] = one
    return Policy.model_validate(found)


def read_policy(path: Path | str, environment: Mapping[str, str] = os.environ) -> Policy:
    """Read a file with `failure:` and `sample:`, or a whole configuration of a collector, which has them as processors.

    Raises:
        ConfigError: every problem found, one per line, each with its line in the file.

    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"the policy {name} cannot be read: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise ConfigError(f"the policy {name} is not UTF-8: byte {e.start}") from None
    document = read(text, name, environment, wanted=_is_of_a_policy)
    if "processors" in document.data:
        found = _processors(document)
    else:
        found = {section: (section,) for section in SECTIONS if section in document.data}
        if unknown := [key for key in document.data if key not in SECTIONS]:
            hint = suggest(unknown[0], SECTIONS) or "; a policy has failure: and sample:, or processors: with them"
            raise ConfigError(f"{document.where((unknown[0],))}: unknown key{hint}")
    problems: list[str] = []
    parts: dict[str, Any] = {}
    for section, where in found.items():
        settings: Any = document.data
        for key in where:
            settings = settings[key]
        model = Policy.model_fields[section].annotation
        assert isinstance(model, type)  # noqa: S101 - fields above
        assert issubclass(model, ComponentConfig)  # noqa: S101 - as above
        try:
            parts[section] = model.model_validate({} if settings is None else settings)
        except ValidationError as e:
            problems.extend(explain(e, model, document, where))
    if problems:
        raise ConfigError("\n".join(problems))
    return Policy.model_validate(parts)


def _is_of_a_policy(path: KeyPath) -> bool:
    """Tell whether a part of a file is read; elsewhere variables may be unset that are nothing to a policy."""
    if path[0] == "processors":
        return len(path) == 1 or str(path[1]).partition("/")[0] in SECTIONS
    return path[0] in SECTIONS


def _processors(document: Document) -> dict[str, KeyPath]:
    """Return where a collector's configuration has the parts of its policy."""
    processors = document.data["processors"]
    if not isinstance(processors, dict):
        raise ConfigError(f"{document.where(('processors',))}: must hold processors, such as sample:")
    found: dict[str, KeyPath] = {}
    for component_id in processors:
        section = component_id.partition("/")[0]
        if section in found:
            both = f"{spell(found[section])} and {spell(('processors', component_id))}"
            raise ConfigError(f"{document.where(('processors', component_id))}: which one holds, {both}? Leave one out")
        if section in SECTIONS:
            found[section] = ("processors", component_id)
    return found
