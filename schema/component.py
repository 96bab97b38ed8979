"""The vocabulary of components: receivers, processors, exporters, extensions, and how one is declared.

A component is a frozen config, a factory and one method. It is declared once, next to its config:

    class DebugConfig(ComponentConfig):
        verbosity: Literal["basic", "detailed"] = "basic"

    @component("exporter", "debug", DebugConfig)
    def debug(config: DebugConfig, context: Context) -> Exporter: ...

and registered by an entry point of the group `otel_evalgate.components` named "<kind>/<type>", ours and a
stranger's alike. Kinds and the shape of the configuration are those of the OpenTelemetry Collector
(https://opentelemetry.io/docs/collector/configuration/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence  # noqa: TC003 - pydantic and dataclasses read it at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict

from schema.errors import ConfigError
from schema.ledger import Tally, no_tally

if TYPE_CHECKING:
    from pathlib import Path

    from schema.batch import SpanBatch
    from schema.identity import Scope
    from schema.policy import Policy
    from schema.serving import Listen, Listener, ListenerConfig

ENTRY_POINTS = "otel_evalgate.components"

ComponentKind = Literal["receiver", "processor", "exporter", "extension"]
Signal = Literal["traces", "logs"]
PortSharing = Literal["alone", "first", "more"]
"""Whether other processes listen on a receiver's addresses: none, some later, some already."""


class ComponentConfig(BaseModel):
    """Base of every component's configuration: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Journal(Protocol):
    """Where receivers put what they accept."""

    async def append(
        self,
        tenant: str,
        signal: Signal,
        body: bytes | memoryview,
        *,
        encoding: Literal["protobuf", "json"],
        gzip: bool,
        members: int,
    ) -> int:
        """Return the record's sequence number once the bytes are durable (fdatasync), never before.

        `members` is how many spans or log records the body holds: the ledger knows it even of a body that nobody can
        decode any more.

        Raises:
            Refused: nothing was kept; answer with its reason.

        """


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows of a batch that a destination will never take. All others of the batch are stored."""

    reason: str
    spans: tuple[int, ...] = ()
    """Rows of the batch, ascending; so are the others."""
    logs: tuple[int, ...] = ()
    feedback: tuple[int, ...] = ()


class Request(Protocol):
    """An OTLP request as it was journalled, brought to protobuf."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def signal(self) -> Signal:
        """What the body holds."""

    @property
    def body(self) -> bytes:
        """In protobuf."""


class Received(Request, Protocol):
    """An OTLP request byte for byte as it came; its receiver counted what it holds."""

    @property
    def encoding(self) -> Literal["protobuf", "json"]:
        """Of the body."""

    @property
    def gzip(self) -> bool:
        """Whether the body is compressed."""

    @property
    def members(self) -> int:
        """Spans or log records."""


class Exporter(Protocol):
    """The end of a pipeline.

    One that takes whole requests has `export_requests` instead (see `RequestExporter`). One that can tell cheaply
    whether its destination is well has `async def probe(self) -> None`, which raises Retryable while it is not: it is
    asked, instead of being sent a batch, once several tries have failed.
    """

    async def start(self) -> None:
        """Prepare (connect, migrate). May be retried by the caller after Retryable."""

    async def export(self, batch: SpanBatch, token: str) -> Rejected | None:
        """Return when the batch is durable at the destination. The same token is stored once.

        Rows that the destination will never take are returned, when all others are durable.

        Raises:
            Retryable: try the same batch with the same token again.
            Permanent: trying again cannot help, and nothing of the batch is stored. It comes again in parts, each
                with a token of its own, until what is at fault is found.

        """

    async def shutdown(self) -> None:
        """Release everything. Safe to call without start, and twice."""


@runtime_checkable
class RequestExporter(Protocol):
    """An exporter of requests as they came, in protobuf and uncompressed: nothing is decoded for it.

    It has `export` as well: where a processor masks what requests hold, it gets batches.
    """

    async def start(self) -> None:
        """Prepare, as `Exporter`."""

    async def export_requests(self, requests: Sequence[Request], token: str) -> None:
        """Return when the requests are durable at the destination. Raises as `Exporter.export`."""

    async def export(self, batch: SpanBatch, token: str) -> Rejected | None:
        """As `Exporter`."""

    async def shutdown(self) -> None:
        """Release everything, as `Exporter`."""


@runtime_checkable
class Probing(Protocol):
    """An exporter that can ask its destination how it is."""

    async def probe(self) -> None:
        """Return when the destination is well. Raises Retryable while it is not."""


class Processor(Protocol):
    """A pure step over columns. A plain function may be a processor."""

    def __call__(self, batch: SpanBatch) -> SpanBatch:
        """Return the batch with what this step derives. Never raises for an individual span."""


class Receiver(Protocol):
    """Where bytes come in."""

    async def start(self) -> None:
        """Listen. Raises ConfigError naming the address when it is taken."""

    async def shutdown(self) -> None:
        """Stop listening, answer what is in flight. Safe to call without start, and twice."""


@runtime_checkable
class Extension(Protocol):
    """Something that lives beside the pipelines in the same process."""

    async def start(self) -> None:
        """Begin. Raises ConfigError when it cannot."""

    async def shutdown(self) -> None:
        """End. Safe to call without start, and twice."""


def _nothing(_within_s: float) -> Iterable[Received]:
    return ()


def _no_listener(config: ListenerConfig, *, scopes: frozenset[Scope], doing: str) -> Listener:  # noqa: ARG001 - as Listen
    raise ConfigError(f"{config.endpoint}: nothing serves HTTP here")


def _key(*keys: str | int) -> str:
    return ".".join(str(k) for k in keys)


@dataclass(frozen=True, slots=True)
class Context:
    """What the service hands to a factory."""

    name: str
    """The component's id in the configuration, e.g. "clickhouse" or "clickhouse/eu"."""
    data_dir: Path
    """Folder for whatever the component keeps on disk."""
    journal: Journal | None = None
    """Set for receivers."""
    memory_limit_bytes: int | None = None
    """What the process may take; receivers refuse before that. None: nobody said."""
    port_sharing: PortSharing = "alone"
    """For receivers: "first" and "more" bind with SO_REUSEPORT, "first" where nobody listens yet."""
    dsn: str | None = None
    """The database of the service: that of its first ClickHouse exporter; set for extensions."""
    policy: Policy | None = None
    """What is flagged, by all processors of the service. None: nobody asks."""
    process: Callable[[SpanBatch], SpanBatch] | None = None
    """The processors of the pipeline, one after another; set for extensions."""
    status: Callable[[], dict[str, Any]] = dict
    """The state of the service, for health checks and pages."""
    tally: Tally = no_tally
    """For receivers: counts for the ledger what ends before the journal."""
    recent: Callable[[float], Iterable[Received]] = _nothing
    """For receivers: what was journalled in the last so many seconds, as far as it is still there. Blocks."""
    listener: Listen = _no_listener
    """Makes what an extension answers HTTP on."""
    where: Callable[..., str] = _key
    """Says where a key of the component's settings stands, "file:line: key": for errors that a start finds."""

    @property
    def policy_version(self) -> str:
        """What names the policy in rows that are made under it; "" without one."""
        return self.policy.version if self.policy is not None else ""


C_contra = TypeVar("C_contra", bound=ComponentConfig, contravariant=True)
C = TypeVar("C", bound=ComponentConfig)


@dataclass(frozen=True)
class Component(Generic[C]):
    """A declared component: what the entry point resolves to."""

    kind: ComponentKind
    name: str
    """The type in the configuration: `otlp` in `otlp` and `otlp/internal`."""
    config: type[C]
    factory: Callable[[C, Context], Any]

    def __call__(self, config: C, context: Context) -> Any:
        """Make an instance. Nothing starts yet."""
        return self.factory(config, context)


def component(kind: ComponentKind, name: str, config: type[C]) -> Callable[[Callable[[C, Context], Any]], Component[C]]:
    """Declare a component: decorate its factory, register the name by entry point."""

    def declare(factory: Callable[[C, Context], Any]) -> Component[C]:
        return Component(kind, name, config, factory)

    return declare
