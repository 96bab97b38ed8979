"""Find components: those of this package and a stranger's alike, by entry points (see schema/component.py).

Nothing is imported before a configuration names it, so a broken package costs only those who use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast, get_args

from schema.component import ENTRY_POINTS, Component, ComponentConfig, ComponentKind, Context
from schema.config_file import suggest
from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import EntryPoint

    from schema.component import Processor

KINDS: tuple[ComponentKind, ...] = get_args(ComponentKind)


class NoSettings(ComponentConfig):
    """The configuration of a plain function."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point that claims to be a component."""

    kind: str
    name: str
    point: EntryPoint

    @property
    def package(self) -> str:
        """The distribution it comes from."""
        return self.point.dist.name if self.point.dist is not None else self.point.module.partition(".")[0]


class Registry:
    """Every component that is installed, by kind and type."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self._found: dict[tuple[str, str], Found] = {}
        for point in points:
            kind, _, name = point.name.partition("/")
            self._found.setdefault((kind, name), Found(kind, name, point))

    def __iter__(self) -> Iterator[Found]:
        return iter(
            sorted(self._found.values(), key=lambda f: (KINDS.index(f.kind), f.name) if f.kind in KINDS else (9, ""))
        )

    def load(self, kind: ComponentKind, name: str) -> Component[Any]:
        """Import a component.

        Raises:
            ConfigError: there is none of that name, or it cannot be loaded.

        """
        found = self._found.get((kind, name))
        if found is None:
            names = sorted(n for k, n in self._found if k == kind)
            raise ConfigError(
                f"there is no {kind} {name!r}{suggest(name, names)}; installed: {', '.join(names) or 'none'}"
            )
        try:
            loaded = found.point.load()
        except Exception as e:  # a stranger's module may raise anything
            first_line = next(iter(str(e).splitlines()), "")
            raise ConfigError(
                f"{kind} {name!r} of the package {found.package} ({found.point.value}) cannot be loaded: "
                f"{type(e).__name__}: {first_line}"
            ) from e
        return _as_component(kind, name, loaded, found)


def _as_component(kind: ComponentKind, name: str, loaded: object, found: Found) -> Component[Any]:
    if isinstance(loaded, Component):
        if (loaded.kind, loaded.name) != (kind, name):
            raise ConfigError(
                f"the package {found.package} registers {kind} {name!r}, but {found.point.value} is "
                f"{loaded.kind} {loaded.name!r}; its entry point must be named {loaded.kind}/{loaded.name}"
            )
        return loaded
    if kind == "processor" and callable(loaded):
        return Component("processor", name, NoSettings, PlainFunction(cast("Processor", loaded)))
    raise ConfigError(
        f"the package {found.package} registers {kind} {name!r}, but {found.point.value} is a "
        f"{type(loaded).__name__}; declare it with schema.component.component"
    )


@dataclass(frozen=True, slots=True)
class PlainFunction:
    """The factory of a processor that is a function: there is nothing to make."""

    function: Processor

    def __call__(self, config: NoSettings, context: Context) -> Processor:
        """Return the function."""
        del config, context
        return self.function


def installed() -> Registry:
    """Return the components of this environment."""
    return Registry(entry_points(group=ENTRY_POINTS))
