"""TLS of our listeners: 1.2 or newer, client certificates if wanted, certificates renewed without a restart.

Files are looked at when a connection is made, at most once in `reload_interval_s`: a new certificate holds for the
next handshakes, open connections keep theirs. A pair that cannot be read or does not fit together is logged and the one
before stays: renewal writes two files, and a handshake may come between them.
"""

from __future__ import annotations

import logging
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import grpc

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from schema.serving import TlsConfig

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files hold."""

    cert: bytes
    key: bytes
    client_ca: bytes | None


class Certificates:
    """The files of a configuration, read again when they change. Used by the threads that make connections."""

    def __init__(self, config: TlsConfig, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Read them.

        Raises:
            ConfigError: one cannot be read, or they do not fit together.

        """
        self._config = config
        self._monotonic_s = monotonic_s
        self._stamp = self._stamps()
        self._pem, self.context = self._load()
        self._looked_s = monotonic_s()

    @property
    def pem(self) -> Pem:
        """What holds now."""
        return self._pem

    def renewed(self) -> bool:
        """Look at the files if it is time; return whether something else holds now."""
        now_s = self._monotonic_s()
        if now_s - self._looked_s < self._config.reload_interval_s:
            return False
        self._looked_s = now_s
        stamp = self._stamps()
        if stamp == self._stamp:
            return False
        try:
            self._pem, self.context = self._load()
        except ConfigError as e:
            log.error("%s; the certificate before stays in use", e)  # noqa: TRY400 - e says it all
            return False
        self._stamp = stamp
        log.info("the certificate in %s was renewed", self._config.cert_file)
        return True

    def _load(self) -> tuple[Pem, ssl.SSLContext]:
        config = self._config
        pem = Pem(_read(config.cert_file), _read(config.key_file), _perhaps(config.client_ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(config.cert_file, config.key_file, password=_no_passphrase)
            if pem.client_ca is not None:
                context.load_verify_locations(cadata=pem.client_ca.decode("ascii"))
                context.verify_mode = ssl.CERT_REQUIRED
        except (ssl.SSLError, OSError, UnicodeDecodeError) as e:
            reason = getattr(e, "reason", None) or type(e).__name__
            raise ConfigError(
                f"the certificate {config.cert_file} with the key {config.key_file} cannot be used ({reason}): "
                "both in PEM, the key that of the certificate and without a passphrase"
            ) from None
        return pem, context

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for path in (self._config.cert_file, self._config.key_file, self._config.client_ca_file):
            if path is not None:
                try:
                    status = path.stat()
                except OSError:
                    found.append((0, 0, 0))
                else:
                    found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)


class RenewingContext(ssl.SSLContext):
    """What asyncio makes connections with: each gets the newest certificate, and there are no more than so many.

    The protocol above hears of a connection after its handshake, so what is before it is counted here.
    """

    certificates: Certificates
    max_connections: int
    live: WeakSet[ssl.SSLObject]

    @classmethod
    def of(cls, certificates: Certificates, *, max_connections: int = 2000) -> RenewingContext:
        """Return one that follows the files."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context.certificates = certificates
        context.max_connections = max_connections
        context.live = WeakSet()
        return context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection.

        Raises:
            ssl.SSLError: there are too many; asyncio closes this one.

        """
        if len(self.live) >= self.max_connections:
            raise ssl.SSLError("too many connections")
        self.certificates.renewed()
        begun = self.certificates.context.wrap_bio(*arguments, **named)
        self.live.add(begun)
        return begun


def grpc_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return credentials of a gRPC server that follow the files."""

    def configuration() -> Any:
        pem = certificates.pem
        return grpc.ssl_server_certificate_configuration(
            [(pem.key, pem.cert)],
            root_certificates=pem.client_ca,
        )

    def renew() -> Any:
        """Return None where nothing changed; called from a thread of gRPC at each handshake."""
        return configuration() if certificates.renewed() else None

    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        configuration(), renew, require_client_authentication=certificates.pem.client_ca is not None
    )
    return credentials


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {e.strerror}") from None


def _perhaps(path: Path | None) -> bytes | None:
    return None if path is None else _read(path)


def _no_passphrase() -> str:
    """Answer OpenSSL, which would ask on the terminal."""
    return ""
