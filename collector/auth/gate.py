"""Says who a caller is, from the head of a request: before a byte of the body is read.

    none   nobody is asked for a key; all are the one tenant of the configuration
    keys   `authorization: Bearer eg_…`; the tenant is that of the key

Answers are the same for a key that is unknown, wrong, expired or revoked, and never quote what was sent.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from collector.auth.key import TOKEN, matches
from collector.auth.key_file import NAME, KeyFile
from schema.errors import ConfigError, Reason, Refused
from schema.identity import DEFAULT_TENANT, Identity, Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.auth.key import Key
    from collector.auth.key_file import Stamp
    from schema.serving import AuthConfig, Gate

log = logging.getLogger(__name__)

RECHECK_S: Final = 1.0
"""How often the file is looked at: so long a revoked key may still be taken."""
CHALLENGE: Final = ("www-authenticate", 'Bearer realm="otel-evalgate"')
TENANT_HEADER: Final = "x-evalgate-tenant"
MAX_CREDENTIALS_CHARS: Final = 512


class OpenGate:
    """Asks nobody: everyone is the same tenant, and may do what `scopes` says."""

    def __init__(self, tenant: str, scopes: frozenset[Scope]) -> None:
        self._identity = Identity(tenant, scopes)

    @property
    def asks_for_keys(self) -> bool:
        """Nobody needs one."""
        return False

    def admit(self, authorization: str | None, tenant: str | None, *scopes: Scope) -> Identity:  # noqa: ARG002 - as Gate
        """Return the one there is; credentials that nobody asked for are not looked at."""
        self._identity.narrow(tenant)
        self._identity.require(*scopes)
        return self._identity


class KeyGate:
    """Asks for a key. Used on one thread."""

    def __init__(
        self,
        file: KeyFile,
        *,
        clock_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the keys.

        Raises:
            ConfigError: there is a file that cannot be used.

        """
        self._file = file
        self._clock_s = clock_s
        self._monotonic_s = monotonic_s
        self._stamp: Stamp | None = file.stamp()
        self._keys: dict[str, Key] = file.read()
        self._usable = True
        self._looked_s = monotonic_s()
        if not self._keys:
            log.warning(
                "there are no keys in %s, so everyone is refused; make one: "
                "evalgate-collector keys create --tenant NAME --scope ingest --data-dir %s",
                file.path,
                file.path.parent,
            )

    @property
    def asks_for_keys(self) -> bool:
        """Everyone needs one."""
        return True

    def admit(self, authorization: str | None, tenant: str | None, *scopes: Scope) -> Identity:
        """Return whose key it is."""
        now_s = self._monotonic_s()
        if now_s - self._looked_s >= RECHECK_S:
            self._looked_s = now_s
            self._look()
        if not self._usable:
            raise Refused(Reason.UNAVAILABLE, "keys cannot be checked at the moment; try again", retry_after_s=5.0)
        identity = self._identify(authorization)
        identity.narrow(tenant)
        identity.require(*scopes)
        return identity

    def _identify(self, authorization: str | None) -> Identity:
        if not authorization:
            raise Refused(Reason.UNAUTHENTICATED, "a key is needed: send the header authorization: Bearer eg_…")
        token = bearer(authorization)
        match = TOKEN.fullmatch(token)
        if match is None:
            raise Refused(
                Reason.UNAUTHENTICATED, "the header authorization must be once there, and be: Bearer and one key, eg_…"
            )
        key = self._keys.get(match[1])
        if not matches(token, key) or key is None or not key.is_valid(self._clock_s()):
            raise Refused(Reason.UNAUTHENTICATED, "this key is not valid here: unknown, expired or revoked")
        return key.identity

    def _look(self) -> None:
        """Read the file again where it changed. While it cannot be used nobody is let in, and senders keep theirs."""
        try:
            stamp = self._file.stamp()
            if stamp == self._stamp and self._usable:
                return
            self._keys, self._stamp, self._usable = self._read(gone=stamp is None), stamp, True
        except (ConfigError, OSError) as e:
            if self._usable:
                log.error("%s. Until then requests are refused, and senders asked to try again", e)  # noqa: TRY400 - e says it all
            self._usable = False
        else:
            log.info("%d keys read from %s", len(self._keys), self._file.path)

    def _read(self, *, gone: bool) -> dict[str, Key]:
        if gone:
            raise ConfigError(f"the key file {self._file.path} is gone: put it back, or start again without keys")
        return self._file.read()


def bearer(authorization: str) -> str:
    """Return the token of an Authorization header, "" for anything but one bearer token.

    The scheme is taken in any case, with blanks and tabs around (RFC 9110, 5.5 and 11.1). A header that was there twice
    reads "Bearer a, Bearer b" and is none.
    """
    scheme, _, token = authorization[:MAX_CREDENTIALS_CHARS].strip(" \t").partition(" ")
    return token.strip(" \t") if scheme.lower() == "bearer" else ""


def open_gate(config: AuthConfig, data_dir: Path, *, scopes: frozenset[Scope]) -> Gate:
    """Return the gate of a configuration; `scopes` are what those who need no key may do.

    Raises:
        ConfigError: there is a key file that cannot be used.

    """
    match config.mode:
        case "none":
            return OpenGate(config.tenant or DEFAULT_TENANT, scopes)
        case "keys":
            return KeyGate(KeyFile(config.keys_file or data_dir / NAME))
