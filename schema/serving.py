"""What serves pages and interfaces over HTTP: its configuration, who is let in, and how an extension gets a listener.

An extension that answers HTTP takes its listener from the service (`schema.component.Context.listener`), ours and a
stranger's alike. What is the same for all of them is done there: limits of a connection, TLS that is renewed, names in
the Host header, other sites' pages, refusing to stand open beyond this machine.

    listener = context.listener(config, scopes=…, doing="read")     checks the configuration
    listener.open()                                                 binds
    await listener.serve(application)                               answers, until
    await listener.shutdown()
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from pydantic import Field, field_validator, model_validator

from schema.component import ComponentConfig
from schema.identity import check_tenant

if TYPE_CHECKING:
    from schema.identity import Identity, Scope

AsgiMessage: TypeAlias = MutableMapping[str, Any]
Application: TypeAlias = Callable[
    [AsgiMessage, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]
]
"""An ASGI application (https://asgi.readthedocs.io/en/latest/specs/main.html)."""


class AuthConfig(ComponentConfig):
    """`auth` of a receiver or of an endpoint that is read from."""

    mode: Literal["none", "keys"] = "none"
    tenant: str | None = None
    """With mode none: whose everything is. Default: `default`."""
    keys_file: Path | None = None
    """With mode keys. Default: keys.json in the data directory, which `evalgate-collector keys` writes."""

    @field_validator("tenant")
    @classmethod
    def _named(cls, tenant: str | None) -> str | None:
        return None if tenant is None else check_tenant(tenant)

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> AuthConfig:
        if self.mode == "keys" and self.tenant is not None:
            raise ValueError("auth.tenant has no meaning with mode keys: the key says whose it is")
        if self.mode == "none" and self.keys_file is not None:
            raise ValueError("auth.keys_file has no meaning with mode none: set mode: keys")
        return self


class TlsConfig(ComponentConfig):
    """`tls` of a listener."""

    cert_file: Path
    """PEM: the certificate, then those between it and the root."""
    key_file: Path
    """PEM, without a passphrase."""
    client_ca_file: Path | None = None
    """PEM: clients must show a certificate that one of these has signed."""
    reload_interval_s: float = Field(default=60.0, ge=0)
    """How often the files are looked at, at most."""


class ListenerConfig(ComponentConfig):
    """Where an HTTP listener stands, who is let in, and what one connection may do."""

    endpoint: str
    """host:port; port 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that the Host header may have, e.g. that of a container."""
    auth: AuthConfig | None = None
    """Who is asked for a key. Unset: nobody; whoever asks reads the one tenant there is, or `default` of several."""
    tls: TlsConfig | None = None
    insecure: bool = False
    """Listen beyond loopback although anyone could read, or keys could be read on the way."""
    max_connections: int = Field(default=128, ge=1)
    """Beyond this the next one is answered with 503."""
    max_header_bytes: int = Field(default=64 << 10, ge=256)
    """A head with its URL."""
    header_timeout_s: float = Field(default=10, gt=0)
    """From the connection, or the first byte of a request, to the end of its head."""
    body_timeout_s: float = Field(default=30, gt=0)
    """For a body; one that comes at least at the next rate may take longer."""
    min_body_bytes_per_s: int = Field(default=1000, ge=1)
    answer_timeout_s: float = Field(default=30, gt=0)
    """A client that reads nothing of its answer for so long is cut: the answer waits in memory."""


class Gate(Protocol):
    """Who is asked for credentials."""

    @property
    def asks_for_keys(self) -> bool:
        """Tell whether a key is needed."""

    def admit(self, authorization: str | None, tenant: str | None, *scopes: Scope) -> Identity:
        """Return who the caller is, who has one of the scopes.

        `authorization` and `tenant` are what the headers say, None where there is none.

        Raises:
            Refused: UNAUTHENTICATED, FORBIDDEN, or UNAVAILABLE while the keys cannot be read.

        """


class Listener(Protocol):
    """A place where an application answers HTTP. Used on the event loop of the service."""

    @property
    def gate(self) -> Gate:
        """Who is let in; whoever answers asks it for each request."""

    @property
    def hosts(self) -> frozenset[str]:
        """Names that the Host header may have, in lower case, without a port."""

    @property
    def is_secure(self) -> bool:
        """Tell whether it speaks TLS."""

    @property
    def url(self) -> str | None:
        """Where it answers; None while it does not."""

    def open(self) -> None:
        """Bind the address. Raises ConfigError when it is taken."""

    async def serve(self, application: Application, *, guarded: bool = True) -> str:
        """Answer from now on, and return the URL; the application is called for HTTP alone.

        `guarded` keeps other sites' pages out before the application sees a request: the Host header must be a name
        of this listener (DNS rebinding), and what changes something must come from its own pages.
        """

    async def shutdown(self) -> None:
        """Answer what is in flight, and close. Safe to call without open, and twice."""


class Listen(Protocol):
    """Makes listeners."""

    def __call__(self, config: ListenerConfig, *, scopes: frozenset[Scope], doing: str) -> Listener:
        """Return a listener that is not open yet.

        `scopes` are what those may do who need no key; `doing` says for errors what strangers could do: "read".

        Raises:
            ConfigError: the address is none, may not be listened on like that, or the keys cannot be read.

        """
