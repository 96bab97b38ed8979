"""One string says where the database is.

    chdb:///ABSOLUTE/PATH[?database=evalgate]              embedded ClickHouse in this folder
    http(s)://[user[:password]@]host[:port][/database]     a ClickHouse server
        ?compression=lz4 | none                            of INSERTs; by default none on loopback, else lz4
        &cluster=NAME                                      the servers of this cluster together (cluster.py); NAME is
                                                           one of <remote_servers> of the server
        &nodes=host:port,host:port                         their HTTP addresses, where the server's own list of hosts
                                                           with the port of this DSN is not right

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
CLUSTER = re.compile(r"[A-Za-z0-9_.-]{1,128}")
NODE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
SERVER_OPTIONS = ("cluster", "compression", "nodes")
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
    cluster: str = ""
    """The cluster whose servers are one database together; empty: this server alone."""
    nodes: tuple[tuple[str, int], ...] = ()
    """HTTP addresses of its servers; empty: the server's own list of hosts, with the port of this DSN."""

    def __str__(self) -> str:
        """Return the URL without credentials: it is for people and logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        cluster = f"?cluster={self.cluster}" if self.cluster else ""
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}/{self.database}{cluster}"


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
        options = _server_options(parts.query)
        return ServerDsn(
            host=parts.hostname,
            port=port or HTTP_PORTS[parts.scheme],
            secure=parts.scheme == "https",
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=_database(unquote(parts.path.strip("/")) or SERVER_DATABASE),
            compression=_compression(parts.hostname, options.get("compression")),
            cluster=_cluster(options),
            nodes=_nodes(options.get("nodes", "")),
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


def _server_options(query: str) -> dict[str, str]:
    options = parse_qs(query, keep_blank_values=True)
    if unknown := sorted(set(options) - set(SERVER_OPTIONS)):
        raise ConfigError(
            f"the DSN of a server has unknown options: {', '.join(unknown)}; known are {', '.join(SERVER_OPTIONS)}"
        )
    return {name: values[-1] for name, values in options.items()}


def _compression(host: str, wanted: str | None) -> Compression:
    if wanted is None:
        return "none" if _is_loopback(host) else "lz4"
    for known in get_args(Compression):
        if wanted == known:
            return cast("Compression", known)
    raise ConfigError(f"compression={wanted!r} is not known; use {' or '.join(get_args(Compression))}")


def _cluster(options: Mapping[str, str]) -> str:
    name = options.get("cluster", "")
    if "cluster" in options and not CLUSTER.fullmatch(name):
        raise ConfigError(f"cluster={name!r} is not a name of a cluster (letters, digits, '_', '-' and '.')")
    if "nodes" in options and not name:
        raise ConfigError("the DSN has nodes= and no cluster=: add the name of the cluster they are in")
    return name


def _nodes(text: str) -> tuple[tuple[str, int], ...]:
    found = []
    for part in filter(None, text.split(",")):
        node = NODE.fullmatch(part)
        if node is None or not 0 < int(node["port"]) < 65536:
            raise ConfigError(f"nodes={text!r}: {part!r} is not host:port; give each server's HTTP address")
        found.append((node["host"].strip("[]"), int(node["port"])))
    return tuple(found)


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
