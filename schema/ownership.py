"""Fail clearly when another distribution owns one of our four import names.

`schema`, `exporters` and `evalgate` exist on the public index as import names of other projects; whichever is first
on the path wins, and what follows would be an AttributeError far from the cause.
"""

from __future__ import annotations

import sys
from importlib import metadata, util
from pathlib import Path

PACKAGES = ("schema", "exporters", "collector", "evalgate")
ERROR = 2


def foreign_packages(home: Path | None = None) -> dict[str, str]:
    """Return {package: where it was found} for each of our packages that does not lie beside this one."""
    home = home or Path(__file__).resolve().parent.parent
    found: dict[str, str] = {}
    for name in PACKAGES:
        spec = util.find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent.parent != home:
            found[name] = origin or "nowhere"
    return found


def require_own_packages() -> None:
    """Go on, or name the other distribution on stderr and end the process with status 2: 1 would read as a verdict."""
    if not (foreign := foreign_packages()):
        return
    owners = metadata.packages_distributions()
    lines = [
        f"  {name}: found at {where}"
        + (f", installed by {', '.join(o)}" if (o := [d for d in owners.get(name, []) if d != "otel-evalgate"]) else "")
        for name, where in foreign.items()
    ]
    sys.stderr.write(
        "otel-evalgate cannot run: another package has taken one of its import names.\n"
        + "\n".join(lines)
        + "\nUninstall the other package, or install otel-evalgate into an environment of its own.\n"
    )
    sys.exit(ERROR)
