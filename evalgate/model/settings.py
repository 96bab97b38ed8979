"""Which model, where, and how it is asked."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from evalgate.errors import BadInput
from evalgate.files import read_text
from evalgate.model.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evalgate.model.price import Price

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_ATTEMPT_TIMEOUT_S = 60.0
"""Of one attempt; a judge's answer is short."""
DEFAULT_DEADLINE_S = 180.0
"""Of a call with all its attempts, from its first turn on."""


class Secret:
    """A text that does not show itself: not in reprs, tracebacks, logs or JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return it, for the one place that sends it."""
        return self._text

    def scrub(self, text: str) -> str:
        """Return the text without it: servers repeat keys in their errors."""
        return text.replace(self._text, "***") if len(self._text) >= 4 else text

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One endpoint and the model that is asked where nobody names one."""

    base_url: str = OPENAI_URL
    model: str | None = None
    key: Secret | None = None
    attempt_timeout_s: float = DEFAULT_ATTEMPT_TIMEOUT_S
    deadline_s: float = DEFAULT_DEADLINE_S
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    prices: Mapping[str, Price] = field(default_factory=dict)
    """By model; "*" is for all."""

    @property
    def host(self) -> str:
        """What messages call the endpoint."""
        return urlsplit(self.base_url).netloc

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")


def check_url(url: str, *, allow_insecure: bool = False) -> str:
    """Return the URL of an endpoint without a slash at its end.

    Raises:
        BadInput: it is none, holds a secret, or would send content and key in the clear.

    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BadInput(f"--judge-url: {url!r} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"--judge-url: {url!r} is not a URL; write one such as http://127.0.0.1:11434/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadInput(
            "--judge-url must hold no user, password, query or fragment: they would show in logs. "
            "Keys come from OPENAI_API_KEY or --judge-key-file"
        )
    if parts.scheme == "http" and not allow_insecure and not _is_loopback(parts.hostname):
        raise BadInput(
            f"--judge-url {url}: http would send cases and key in the clear; use https, "
            "or --insecure-model-url where the network is trusted"
        )
    return url.rstrip("/")


def read_key(path: Path) -> Secret:
    """Return the key in a file: its only line.

    Raises:
        BadInput: it cannot be read, is empty, or holds more than a key.

    """
    text = read_text(path).strip()
    if not text or len(text.split()) != 1:
        raise BadInput(f"{path} must hold the key and nothing else, on one line")
    return Secret(text)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
