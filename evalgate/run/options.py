"""What a run is made of, as the command line says it, so that an unfinished one can be taken up again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalgate.errors import BadInput
from evalgate.files import to_json_line
from evalgate.run.engine import DEFAULT_CONCURRENCY, DEFAULT_RETRIES, DEFAULT_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RunOptions:
    """See `evalgate run --help`. No secrets: they are files or variables of the environment."""

    dataset: str
    target: str
    evaluators: str
    name: str | None = None
    concurrency: int = DEFAULT_CONCURRENCY
    timeout_s: float = DEFAULT_TIMEOUT_S
    repeats: int = 1
    retries: int = DEFAULT_RETRIES
    replay: bool = False
    prompt: str | None = None
    system: str | None = None
    tools: str | None = None
    temperature: float | None = None
    base_url: str | None = None
    price: str | None = None
    headers: tuple[str, ...] = ()
    insecure_target: bool = False
    cache: bool | None = None
    rate: float | None = None
    """Tries of the target a minute."""

    def path(self, name: str) -> Path | None:
        """Return an option that names a file."""
        value = getattr(self, name)
        return Path(value) if value is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return what an unfinished run notes of itself."""
        return asdict(self)


def options_of(value: Mapping[str, Any]) -> RunOptions:
    """Read what an unfinished run noted.

    Raises:
        BadInput: it is of another version of this program, or damaged.

    """
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - 0.2 s that only an unfinished run takes

    wanted = {f.name for f in fields(RunOptions)}
    if value.keys() - wanted:
        raise BadInput("the unfinished run is of another version of evalgate: start it anew")
    try:
        return TypeAdapter(RunOptions).validate_json(to_json_line(value), strict=True)
    except ValidationError as e:
        wrong = ", ".join(dict.fromkeys(str(error["loc"][0]) for error in e.errors()))
        raise BadInput(f"line 1 is damaged: of its options {wrong} cannot be read") from None
