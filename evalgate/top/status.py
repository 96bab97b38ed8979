"""Find a running collector on this machine and ask it for its status (the extension `health_check`)."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from evalgate.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

RUNNING: Final = "running.json"
"""Written by a collector into its data directory while it runs: docs/configuration.md."""
DEFAULT_URL: Final = "http://127.0.0.1:13133"
"""Where `health_check` listens unless told otherwise; it is the OpenTelemetry Collector's port."""
EXTENSION: Final = "health_check"
TIMEOUT_S: Final = 2.0
MAX_BYTES: Final = 16 << 20
KEY: Final = "EVALGATE_KEY"
"""The environment variable of a key with the scope admin, where the collector asks for one (docs/security.md)."""

Status = dict[str, Any]


class NoAnswer(BadInput):
    """Nobody answers, or not a collector of ours."""


def find_url(url: str | None, data_dir: Path) -> str:
    """Return the address to ask: the one given, else that of the collector of a data directory, else the default.

    Raises:
        BadInput: the collector there has no such address, or the one given is none.

    """
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"--url {url!r} is not an address; write http://host:port")
        return url
    try:
        endpoints = json.loads((data_dir / RUNNING).read_text())["endpoints"]
        found = [v for k, v in endpoints.items() if k.partition("/")[0] == EXTENSION]
    except (OSError, ValueError, LookupError, AttributeError):
        return DEFAULT_URL
    if not found:
        raise BadInput(
            f"the collector of {data_dir} tells nothing of itself: "
            "add health_check to extensions and to service.extensions of its configuration"
        )
    return str(found[0])


class _Here(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere: the key would go along."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirection."""


def fetch(url: str, timeout_s: float = TIMEOUT_S) -> Status:
    """Ask once, with the key of the environment if there is one. A collector that starts or stops answers too.

    Raises:
        NoAnswer: with what to do.

    """
    key = os.environ.get(KEY)
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"} if key else {})  # noqa: S310 - find_url saw to the scheme
    try:
        with urllib.request.build_opener(_Here).open(request, timeout=timeout_s) as answer:
            body = answer.read(MAX_BYTES)
    except urllib.error.HTTPError as e:  # 503 while it starts or stops, with the same document
        with e:
            body = e.read(MAX_BYTES)
    except (OSError, ValueError) as e:
        why = getattr(e, "reason", e)
        raise NoAnswer(
            f"no collector answers on {url}: {why}. Start one, evalgate up, in this folder; or name the address of its "
            "health_check with --url, or its folder with --data-dir"
        ) from None
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict) and (found.keys() == {"state", "ready"} or found.keys() == {"error"}):
        raise NoAnswer(
            f"{url} tells more only to a key with the scope admin: evalgate keys create --scope admin, then {KEY}=eg_…"
        )
    if not isinstance(found, dict) or "journal" not in found:
        raise NoAnswer(f"what answers on {url} is not a collector of ours; name the address of its health_check: --url")
    return found
