"""Failpoints: named places in the product where a test makes the process die, fail or wait.

A place is one line, `failpoint("journal.before_sync")`, which does nothing unless EVALGATE_FAILPOINTS is set when the
process starts. That variable is a list of

    name=action[@hit[+]]     joined by ";"

    exit                     SIGKILL to this very process: nothing is flushed, no handler runs
    raise                    `FailpointReached`
    pause:/path              write the file /path.reached, then block this thread until /path is there; where the
                             thread is that of the event loop, the whole process stands still

`hit` is the number of the pass that is meant, 1 where none is given; `3+` means the third and every later one. For
example `journal.before_sync=exit@3;delivery.before_confirm=raise@1+`.

The idea is that of FreeBSD's fail(9) and TiKV's fail-rs.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "EVALGATE_FAILPOINTS"
NAMES: Final = frozenset(
    {
        "dataset.before_meta",
        "delivery.after_decode",
        "delivery.after_export",
        "delivery.before_confirm",
        "delivery.before_decode",
        "delivery.before_export",
        "exporter.after_insert",
        "journal.before_append",
        "journal.before_sync",
        "journal.after_sync",
        "retention.after_decide",
        "retention.after_delete",
        "retention.after_freeze",
        "retention.after_ledger",
        "retention.before_decide",
        "retention.before_ledger",
        "synthesize.before_manifest",
    }
)
"""Every place there is. A test holds this equal to the calls in the source."""
RULE: Final = re.compile(r"(?P<name>[a-z_.]+)=(?P<action>exit|raise|pause:[^;@]+)(@(?P<hit>[1-9]\d*)(?P<later>\+?))?")
LONGEST_PAUSE_S: Final = 120.0
POLL_S: Final = 0.005


class FailpointReached(Exception):
    """A failpoint was told to raise. Not one of ours on purpose: nobody may expect it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens at a place, and at which pass."""

    name: str
    action: str
    hit: int
    later: bool

    def holds(self, passed: int) -> bool:
        """Tell whether the pass of this number is meant."""
        return passed >= self.hit if self.later else passed == self.hit


def parse(text: str) -> tuple[Rule, ...]:
    """Return the rules.

    Raises:
        ConfigError: a rule cannot be read, or names no failpoint.

    """
    rules = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        match = RULE.fullmatch(part)
        if match is None:
            raise ConfigError(f"{VARIABLE}: {part!r} is not name=exit|raise|pause:/path, then @hit or @hit+")
        if match["name"] not in NAMES:
            raise ConfigError(f"{VARIABLE}: there is no failpoint {match['name']!r}; known: {', '.join(sorted(NAMES))}")
        rules.append(Rule(match["name"], match["action"], int(match["hit"] or 1), bool(match["later"])))
    return tuple(rules)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class Failpoints:
    """The rules of a process, and how often each place was passed. Any thread may pass."""

    rules: tuple[Rule, ...]
    kill: Callable[[], None] = _kill
    sleep: Callable[[float], None] = time.sleep
    _passed: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, name: str) -> None:
        """Count a pass, and do what is said of it."""
        if name not in NAMES:
            raise ValueError(f"{name!r} is not among the names of schema.failpoints")
        with self._lock:
            passed = self._passed[name] = self._passed.get(name, 0) + 1
        for rule in self.rules:
            if rule.name == name and rule.holds(passed):
                self._do(rule)

    def _do(self, rule: Rule) -> None:
        if rule.action == "exit":
            self.kill()
        elif rule.action == "raise":
            raise FailpointReached(rule.name)
        else:
            self._pause(Path(rule.action.removeprefix("pause:")))

    def _pause(self, path: Path) -> None:
        path.with_name(f"{path.name}.reached").touch()
        waited_s = 0.0
        while not path.exists() and waited_s < LONGEST_PAUSE_S:
            self.sleep(POLL_S)
            waited_s += POLL_S


def load(environment: Mapping[str, str]) -> Failpoints | None:
    """Return what an environment asks for; None where it asks for nothing. Raises as `parse`."""
    rules = parse(environment.get(VARIABLE, ""))
    return Failpoints(rules) if rules else None


@cache
def armed() -> Failpoints | None:
    """Return the failpoints of this process. The start of a process calls it, so that a mistake ends the start.

    Raises:
        ConfigError: EVALGATE_FAILPOINTS cannot be read.

    """
    return load(os.environ)


def failpoint(name: str) -> None:
    """Mark a place; without EVALGATE_FAILPOINTS it costs one cached call."""
    points = armed()
    if points is not None:
        points.reach(name)
