"""`evals/gate.yaml`: what the gate runs, and how it judges.

    command: [pytest, -q, --junitxml=.evalgate/tests.xml]     the project's own tests, or evals of any kind
    results: .evalgate/tests.xml                              JUnit XML, or an evalgate run (.json)
    runs:                                                     datasets that are run for every gate
      - {dataset: support, target: "python:my_app.evals:answer"}
    policy: {threshold: 0.8}                                  evalgate.gate.policy

Any of them may be left out. ${env:NAME} and ${env:NAME:-default} are expanded, as in the collector's configuration.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from evalgate.errors import BadInput
from evalgate.files import read_text
from evalgate.gate.first import GATE_FILE
from evalgate.gate.policy import GatePolicy
from evalgate.gate.process import DEFAULT_TIMEOUT_S
from evalgate.gate.tests_run import TESTS, results_of
from schema.config_file import explain, read
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetRun(_Strict):
    """A dataset that is run for every gate: the options of `evalgate run`."""

    dataset: Text
    target: Text
    options: tuple[str, ...] = ()
    """Further words for `evalgate run`, as one would type them: [--repeats, "3"]."""


class GateSettings(_Strict):
    """The whole file."""

    command: tuple[Text, ...] | None = None
    """A list, never a shell line."""
    results: Path | None = None
    timeout_s: Annotated[float, Field(gt=0)] = DEFAULT_TIMEOUT_S
    name: Text = TESTS
    """What the tests are called in reports and in the baseline."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Least share of the project's own tests that must pass."""
    runs: tuple[DatasetRun, ...] = ()
    policy: GatePolicy = GatePolicy()

    @field_validator("command", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("write a list, such as [pytest, -q]: no shell reads it")  # noqa: TRY004 - pydantic's way
        return value

    @model_validator(mode="after")
    def _holds_together(self) -> GateSettings:
        if self.command is not None and not self.command:
            raise ValueError("command: the list is empty; write [pytest, -q] or leave it out")
        if self.results is not None and self.command is None:
            raise ValueError("results: is what a command writes; give command: too")
        return self

    @property
    def results_path(self) -> Path | None:
        """Where the command's results are: as stated, else as its own command line says."""
        return self.results or (None if self.command is None else results_of(self.command))


def project_policy() -> GatePolicy:
    """Return the policy of the project's `evals/gate.yaml`, by which every command tells what the gate would do.

    Raises:
        EvalgateError: as `read_settings`.

    """
    return read_settings(None, os.environ)[0].policy


def read_settings(path: Path | None, environment: Mapping[str, str]) -> tuple[GateSettings, Path | None]:
    """Return what the file says and the file; without one (and none named) the defaults and None.

    Raises:
        BadInput: a file that was named is not there, or cannot be read.
        ConfigError: it says something that is not understood; every mistake on a line of its own, joined by "; ".

    """
    if path is None and not GATE_FILE.is_file():
        return GateSettings(), None
    path = path or GATE_FILE
    text = read_text(path)
    if not text.strip():
        raise BadInput(f"{path} is empty. Write a first one: evalgate init")
    return parse_settings(text, str(path), environment), path


def parse_settings(text: str, where: str, environment: Mapping[str, str]) -> GateSettings:
    """Return what the text of such a file says.

    Raises:
        ConfigError: as `read_settings`.

    """
    document = read(text, where, environment)
    try:
        return GateSettings.model_validate(document.data)
    except ValidationError as e:
        raise ConfigError("; ".join(explain(e, GateSettings, document, ()))) from None
