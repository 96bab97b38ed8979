"""One string says where the database is.

    chdb:///ABSOLUTE/PATH[?database=evalgate]              embedded ClickHouse in this folder
    http(s)://[user[:password]@]host[:port][/database]     a ClickHouse server
        ?compression=lz4 | none                            of INSERTs; by default none on loopback, else lz4

The embedded database keeps its tables in a database of its own: chdb's `default` is an overlay in which every
identifier that looks like a file name reads that file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

EMBEDDED_DATABASE = "evalgate"
SERVER_DATABASE = "default"
DEFAULT_DATA_DIR = Path(".evalgate/data")
"""Below the current directory."""
EMBEDDED_FOLDER = "db"
"""In the data directory."""

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
Compression: TypeAlias = Literal["none", "lz4"]
HTTP_PORTS = {"http": 8123, "https": 8443}


@dataclass(frozen=True, slots=True)
class EmbeddedDsn:
    """An embedded database: one folder, one owning process."""

    path: Path
    database: str = EMBEDDED_DATABASE

    def __str__(self) -> str:
        suffix = "" if self.database == EMBEDDED_DATABASE else f"?database={self.database}"
        return f"chdb://{self.path}{suffix}"


@dataclass(frozen=True, slots=True)
class ServerDsn:
    """A server, or another process that serves its embedded database."""

    host: str
    port: int
    secure: bool = False
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = SERVER_DATABASE
    compression: Compression = "none"
    """Of the bodies of INSERTs. On loopback it costs more than it saves (docs/adr/0007)."""
    verify: bool = True
    """Whether the certificate must name the host. Off only towards the owner of an embedded database, on loopback."""

    def __str__(self) -> str:
        """Return the URL without credentials: it is for people and logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}/{self.database}"


def parse_dsn(text: str) -> EmbeddedDsn | ServerDsn:
    """Read a DSN.

    Raises:
        ConfigError: it is not one of the two shapes; the message never quotes a password.

    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError(f"the DSN is not a URL. {_SHAPES}") from None
    if parts.scheme == "chdb":
        return _embedded(text, parts.netloc, unquote(parts.path), parse_qs(parts.query, keep_blank_values=True))
    if parts.scheme in HTTP_PORTS and parts.hostname:
        if parts.fragment:
            raise ConfigError(f"the DSN of a server takes nothing after '#'. {_SHAPES}")
        return ServerDsn(
            host=parts.hostname,
            port=port or HTTP_PORTS[parts.scheme],
            secure=parts.scheme == "https",
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=_database(unquote(parts.path.strip("/")) or SERVER_DATABASE),
            compression=_compression(parts.hostname, parse_qs(parts.query, keep_blank_values=True)),
        )
    raise ConfigError(f"the DSN's scheme is {parts.scheme!r}. {_SHAPES}")


_SHAPES = (
    "Use chdb:///ABSOLUTE/PATH for the embedded database or http(s)://user:password@host:port/database for a server."
)


def _embedded(text: str, netloc: str, path: str, options: Mapping[str, list[str]]) -> EmbeddedDsn:
    if netloc or not path.startswith("/") or not path.strip("/"):
        raise ConfigError(f"{text!r} does not hold an absolute path (three slashes after 'chdb:'). {_SHAPES}")
    if unknown := sorted(set(options) - {"database"}):
        raise ConfigError(f"{text!r} has unknown options: {', '.join(unknown)}; only 'database' is known")
    # chdb compares paths as text, so one folder must have one spelling.
    real = Path(os.path.realpath(path))
    return EmbeddedDsn(real, _database(options.get("database", [EMBEDDED_DATABASE])[-1]))


def _compression(host: str, options: Mapping[str, list[str]]) -> Compression:
    if unknown := sorted(set(options) - {"compression"}):
        raise ConfigError(f"the DSN of a server has unknown options: {', '.join(unknown)}; only 'compression' is known")
    if "compression" not in options:
        return "none" if _is_loopback(host) else "lz4"
    wanted = options["compression"][-1]
    for known in get_args(Compression):
        if wanted == known:
            return cast("Compression", known)
    raise ConfigError(f"compression={wanted!r} is not known; use {' or '.join(get_args(Compression))}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _database(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        raise ConfigError(f"{name!r} is not a database name (letters, digits and underscores)")
    return name


def default_dsn(data_dir: Path = DEFAULT_DATA_DIR, environment: Mapping[str, str] | None = None) -> str:
    """Return EVALGATE_DSN, or the embedded database in the data directory."""
    env = os.environ if environment is None else environment
    return env.get("EVALGATE_DSN") or f"chdb://{data_dir.absolute() / EMBEDDED_FOLDER}"
