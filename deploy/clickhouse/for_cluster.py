#!/usr/bin/env python3
"""Print users.xml for a cluster: grants on both databases, filters on the one that has the rows (docs/scaling.md).

for_cluster.py evalgate > users.d/evalgate.xml       on every server, with the same passwords
"""

import re
import sys
from pathlib import Path

GRANT = re.compile(r"^( *<query>GRANT [^<]*? ON )default\.([^<]*</query>)$", re.MULTILINE)
FILTERS = re.compile(r"(<databases>\s*)<default>(.*?)</default>(\s*</databases>)", re.DOTALL)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")


def for_cluster(users: str, database: str) -> str:
    """Return the users with the rights that they have on `default`, on a database of Distributed tables."""
    text = GRANT.sub(rf"\g<1>{database}.\2\n\g<1>{database}_local.\2", users)
    return FILTERS.sub(rf"\g<1><{database}_local>\2</{database}_local>\3", text)


def main() -> None:
    """Print."""
    if len(sys.argv) != 2 or not NAME.fullmatch(sys.argv[1]):
        raise SystemExit("usage: for_cluster.py DATABASE, the database of the DSN")
    sys.stdout.write(for_cluster((Path(__file__).parent / "users.xml").read_text("utf-8"), sys.argv[1]))


if __name__ == "__main__":
    main()
