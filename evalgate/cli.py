"""The console script `evalgate`: sees that our packages are ours, then runs the command.

Nothing of ours is imported before that is known: another distribution's `schema` on the path would otherwise be an
ImportError far from its cause.
"""

from __future__ import annotations

import io
import sys
from importlib import util

ERROR = 2


def main() -> None:
    """Run the command and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character must not stop a gate
            stream.reconfigure(errors="backslashreplace")
    _require_own_packages()
    from evalgate.app import run  # noqa: PLC0415 - see above

    sys.exit(run(sys.argv[1:]))


def _require_own_packages() -> None:
    try:
        from schema.ownership import require_own_packages  # noqa: PLC0415 - see above
    except ImportError:
        spec = util.find_spec("schema")
        where = spec.origin if spec else "nowhere"
        _stop(f"otel-evalgate cannot run: its package 'schema' is another's, found at {where}")
    try:
        require_own_packages()
    except SystemExit as e:  # its message as the status would exit 1, a verdict
        _stop(str(e.code))


def _stop(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.exit(ERROR)


if __name__ == "__main__":
    main()
