#!/usr/bin/env -S python3 -I
"""Exit with 0 while the collector of this container takes requests: its extension health_check is asked."""

import http.client
import os
import sys

TIMEOUT_S = 3


def main() -> int:
    """Ask once."""
    host, _, port = os.environ.get("EVALGATE_HEALTH_ENDPOINT", "127.0.0.1:13133").rpartition(":")
    here = "127.0.0.1" if host in ("0.0.0.0", "[::]", "") else host.strip("[]")  # noqa: S104 - compared, not bound
    try:
        connection = http.client.HTTPConnection(here, int(port), timeout=TIMEOUT_S)
        connection.request("GET", "/")
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as e:
        sys.stderr.write(f"{host}:{port}: {e}\n")
        return 1
    return 0 if status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
