"""The console script `evalgate-collector`: sees that our packages are ours, then runs the command.

Nothing of ours is imported before that is known: another distribution's `schema` on the path would otherwise be an
ImportError far from its cause.
"""

from __future__ import annotations

import sys
from importlib import util

ERROR = 2


def main() -> None:
    """Run the command and end the process with its exit code."""
    try:
        from schema.ownership import require_own_packages  # noqa: PLC0415 - see above
    except ImportError:
        spec = util.find_spec("schema")
        where = spec.origin if spec else "nowhere"
        sys.stderr.write(f"otel-evalgate cannot run: its package 'schema' is another's, found at {where}\n")
        sys.exit(ERROR)
    require_own_packages()
    from collector.app import run  # noqa: PLC0415 - see above

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
