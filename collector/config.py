"""The configuration of the collector: one typed tree in the OpenTelemetry Collector's shape.

    receivers:  {otlp: {...}}            components by id, `type` or `type/name`
    processors: {normalise: {}, ...}
    exporters:  {clickhouse: {...}}
    extensions: {health_check: {...}}
    service:
      pipelines:  {traces: {receivers: [...], processors: [...], exporters: [...]}, logs: {...}}
      extensions: [...]
      journal:    {directory, max_bytes, ...}
      delivery:   {otlp: {required, max_lag_bytes}, ...}
      telemetry:  {logs: {level}}

Everything is validated before anything starts, and every problem is told at once. docs/configuration.md has each key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from pydantic import Field, ValidationError, field_validator

from schema.component import ComponentConfig, ComponentKind, Signal
from schema.config_file import Document, explain, read, suggest
from schema.errors import ConfigError
from schema.policy import Policy, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.components import Registry
    from schema.component import Component
    from schema.config_file import Path as KeyPath

DEFAULT_DATA_DIR = Path(".evalgate/data")
"""Below the current directory."""
MIB = 1 << 20


class PipelineConfig(ComponentConfig):
    """service.pipelines.traces, service.pipelines.logs: ids of components, in order."""

    receivers: tuple[str, ...] = Field(min_length=1)
    processors: tuple[str, ...] = ()
    exporters: tuple[str, ...] = Field(min_length=1)


class Pipelines(ComponentConfig):
    """service.pipelines: one per signal."""

    traces: PipelineConfig | None = None
    logs: PipelineConfig | None = None

    def items(self) -> list[tuple[Signal, PipelineConfig]]:
        """Return the pipelines there are."""
        return [(s, p) for s in get_args(Signal) if (p := getattr(self, s)) is not None]


class JournalConfig(ComponentConfig):
    """service.journal: where acknowledged requests wait for delivery."""

    directory: Path | None = None
    """Unset: `journal` in the data directory."""
    max_bytes: int | None = Field(default=None, ge=MIB)
    """Unset: a tenth of the disk, at most 10 GiB. At 80 % senders are refused and asked to try again."""
    segment_bytes: int | None = Field(default=None, ge=128 << 10, le=1 << 30)
    """Size of one file, and the limit of one request. Unset: 64 MiB, at most an eighth of max_bytes."""
    quarantine_max_bytes: int | None = Field(default=None, ge=0)
    """Of what could not be delivered. When it is met, who fills it is refused. Unset: a tenth of max_bytes."""
    sync: bool = True
    """Off: an acknowledged request survives kill -9, but not a power cut."""
    batch_bytes: int = Field(default=24 * MIB, ge=1)
    """How much goes to the exporters at once; memory grows by about five times of it."""
    batch_records: int = Field(default=10_000, ge=1)
    batch_linger_s: float = Field(default=0.2, ge=0, le=60)
    """How long the first request of a batch waits for more."""


class DeliveryConfig(ComponentConfig):
    """service.delivery.<id of an exporter>."""

    required: bool | None = None
    """Whether the journal keeps everything until this exporter has it. Unset: for databases, or for all where there is
    none. One that is not required is skipped over what it is too far behind for."""
    max_lag_bytes: int | None = Field(default=None, ge=MIB)
    """How far behind one that is not required may be. Unset: a quarter of service.journal.max_bytes."""


class LogsConfig(ComponentConfig):
    """service.telemetry.logs."""

    level: Literal["debug", "info", "warn", "error"] = "info"


class TelemetryConfig(ComponentConfig):
    """service.telemetry: what the collector says of itself."""

    logs: LogsConfig = LogsConfig()


class ServiceConfig(ComponentConfig):
    """service."""

    pipelines: Pipelines
    extensions: tuple[str, ...] = ()
    journal: JournalConfig = JournalConfig()
    delivery: dict[str, DeliveryConfig] = Field(default_factory=dict)
    """By id of an exporter."""
    telemetry: TelemetryConfig = TelemetryConfig()
    data_dir: Path = DEFAULT_DATA_DIR
    """Folder for the journal and for whatever components keep; relative to the current directory."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the ports, each with a journal of its own; more than one needs a database server."""
    memory_limit_mib: int | None = Field(default=None, ge=128)
    """Of all workers; from 80 % of it on senders have to wait. Unset: the container's, or 75 % of the machine's."""
    shutdown_timeout_s: float = Field(default=10.0, ge=0)
    """How long what is journalled may still be delivered at the end; the rest stays in the journal."""


class Tree(ComponentConfig):
    """The whole file, before the components' own settings are read."""

    receivers: dict[str, Any] = Field(default_factory=dict)
    processors: dict[str, Any] = Field(default_factory=dict)
    exporters: dict[str, Any] = Field(default_factory=dict)
    extensions: dict[str, Any] = Field(default_factory=dict)
    service: ServiceConfig

    @field_validator("receivers", "processors", "exporters", "extensions", mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value


FILLING: Final = frozenset({"normalise", "cost"})
"""Types of the processors that fill the columns that rules ask for."""
REDACT: Final = "redact"
"""Type of the processor that masks secrets."""
ASYMMETRIC_SAMPLER: Final = "asymmetric_sampler"
"""Type of the processor that leaves out what is not forwarded."""
DATABASE: Final = "clickhouse"
"""Type of the exporter in front of which nothing is left out."""
BASELINE_RATES: Final = "baseline_rates"
"""The extension that reaches a target of sampled traces a day."""
SECTIONS: dict[ComponentKind, str] = {
    "receiver": "receivers",
    "processor": "processors",
    "exporter": "exporters",
    "extension": "extensions",
}


@dataclass(frozen=True, slots=True)
class Configured:
    """One component that the service uses, with its settings."""

    id: str
    component: Component[Any]
    settings: ComponentConfig
    where: Callable[..., str]
    """Says where a key of the settings stands."""


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that is valid as a whole; `with_workers` gives it another number of them."""

    service: ServiceConfig
    receivers: Mapping[str, Configured]
    processors: Mapping[str, Configured]
    exporters: Mapping[str, Configured]
    extensions: Mapping[str, Configured]
    unused: tuple[str, ...]
    """Components that the file configures and no pipeline uses."""

    @property
    def policy(self) -> Policy:
        """What is flagged, by the processors of the pipelines."""
        return policy_of(c.settings for c in self.processors.values())

    def with_workers(self, workers: int | None) -> Config:
        """Return it with this number of workers; None leaves what the file says."""
        if workers is None:
            return self
        return replace(self, service=self.service.model_copy(update={"workers": workers}))


def load(path: Path, registry: Registry, environment: Mapping[str, str]) -> Config:
    """Read and validate a file.

    Raises:
        ConfigError: every problem found, one per line.

    """
    return parse(read_text(path), str(path), registry, environment)


def read_text(path: Path) -> str:
    """Return a configuration as it stands in its file.

    Raises:
        ConfigError: there is none that can be read.

    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"the configuration {path} cannot be read: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise ConfigError(f"the configuration {path} is not UTF-8: byte {e.start}") from None


def parse(text: str, name: str, registry: Registry, environment: Mapping[str, str]) -> Config:
    """Validate a configuration given as text; `name` is for messages. Raises as `load`."""
    document = read(text, name, environment)
    try:
        tree = Tree.model_validate(document.data)
    except ValidationError as e:
        raise ConfigError("\n".join(explain(e, Tree, document, ()))) from None
    problems: list[str] = []
    used = _used(tree, document, problems)
    sections: dict[ComponentKind, dict[str, Configured]] = {kind: {} for kind in SECTIONS}
    unused = []
    for kind, section in SECTIONS.items():
        implied = _implied(sections, used, document, problems) if kind == "extension" else {}
        for component_id, settings in {**implied, **getattr(tree, section)}.items():
            try:
                configured = _configure(kind, component_id, settings, document, registry)
            except ConfigError as e:
                problems.append(str(e))
                continue
            if component_id in used[kind]:
                sections[kind][component_id] = configured
            else:
                unused.append(f"{section}.{component_id}")
    problems += _early_rules(tree, sections["processor"], document)
    if problems:
        raise ConfigError("\n".join(problems))
    return Config(
        tree.service,
        sections["receiver"],
        sections["processor"],
        sections["exporter"],
        sections["extension"],
        tuple(unused),
    )


def _implied(
    sections: Mapping[ComponentKind, Mapping[str, Configured]],
    used: Mapping[ComponentKind, set[str]],
    document: Document,
    problems: list[str],
) -> dict[str, Any]:
    """Return extensions that settings of processors call for, and count them among the used ones."""
    for processor in sections["processor"].values():
        if getattr(processor.settings, "target_per_day", None) is None:
            continue
        if not any(e.component.name == DATABASE for e in sections["exporter"].values()):
            where = document.where(("processors", processor.id, "target_per_day"))
            problems.append(
                f"{where}: traces are counted in the database, and no pipeline has an exporter {DATABASE!r}. Set the "
                "target where spans are stored, and leave it out here"
            )
        used["extension"].add(BASELINE_RATES)
        return {BASELINE_RATES: None}
    return {}


def _used(tree: Tree, document: Document, problems: list[str]) -> dict[ComponentKind, set[str]]:
    """Return the ids that the service names, checking that each is configured and that the pipelines agree."""
    used: dict[ComponentKind, set[str]] = {kind: set() for kind in SECTIONS}

    def name(kind: ComponentKind, ids: tuple[str, ...], path: KeyPath) -> None:
        known = list(getattr(tree, SECTIONS[kind]))
        for i, component_id in enumerate(ids):
            if component_id not in known:
                hint = suggest(component_id, known) or f"; add it under {SECTIONS[kind]}:"
                problems.append(f"{document.where((*path, i))}: {kind} {component_id!r} is not configured{hint}")
            elif component_id in ids[:i]:
                problems.append(f"{document.where((*path, i))}: {component_id!r} is named twice")
            used[kind].add(component_id)

    pipelines = tree.service.pipelines.items()
    if not pipelines:
        problems.append(f"{document.where(('service', 'pipelines'))}: name at least one pipeline: traces, logs")
    for signal, pipeline in pipelines:
        path = ("service", "pipelines", signal)
        name("receiver", pipeline.receivers, (*path, "receivers"))
        name("processor", pipeline.processors, (*path, "processors"))
        name("exporter", pipeline.exporters, (*path, "exporters"))
        problems.extend(_late_redactions(pipeline, (*path, "processors"), document))
        problems.extend(_misplaced_samplers(pipeline, path, document))
    name("extension", tree.service.extensions, ("service", "extensions"))
    for component_id in tree.service.delivery:
        if component_id not in used["exporter"]:
            hint = suggest(component_id, sorted(used["exporter"])) or "; no pipeline names it"
            problems.append(f"{document.where(('service', 'delivery', component_id))}: no such exporter{hint}")
    traces, logs = tree.service.pipelines.traces, tree.service.pipelines.logs
    if traces and logs:
        problems.extend(_disagreements(traces, logs, document))
    return used


def _late_redactions(pipeline: PipelineConfig, path: KeyPath, document: Document) -> list[str]:
    """Return the processors `redact` behind others: what those derive would hold what is masked too late."""
    kinds = [p.partition("/")[0] for p in pipeline.processors]
    first_other = next((i for i, kind in enumerate(kinds) if kind != REDACT), len(kinds))
    return [
        f"{document.where((*path, i))}: {pipeline.processors[i]!r} must come before "
        f"{pipeline.processors[first_other]!r}, which would keep the secrets that it reads"
        for i, kind in enumerate(kinds)
        if kind == REDACT and i > first_other
    ]


def _misplaced_samplers(pipeline: PipelineConfig, path: KeyPath, document: Document) -> list[str]:
    """Return the processors `asymmetric_sampler` where they do harm, or do not know what to keep."""
    kinds = [p.partition("/")[0] for p in pipeline.processors]
    places = [i for i, kind in enumerate(kinds) if kind == ASYMMETRIC_SAMPLER]
    problems = [
        f"{document.where((*path, 'processors', i))}: {pipeline.processors[i]!r} is one too many: one decides"
        for i in places[1:]
    ]
    for i in places[:1]:
        where, name = document.where((*path, "processors", i)), pipeline.processors[i]
        problems += [
            f"{where}: {name!r} must come after {needed!r}, which says what it keeps"
            for needed in ("failure", "sample")
            if needed not in kinds[:i]
        ]
        problems += [
            f"{where}: {name!r} would lose what exporter {exporter!r} must have: the database decides later, from all "
            "that it knows by then, and here nothing needs to be dropped. Take it away, or forward with an exporter "
            "otlp to a collector that stores (docs/sidecar.md)"
            for exporter in pipeline.exporters
            if exporter.partition("/")[0] == DATABASE
        ]
    return problems


def _early_rules(tree: Tree, processors: Mapping[str, Configured], document: Document) -> list[str]:
    """Return the processors whose rules ask for columns that one behind them fills: they would never hold."""
    problems = []
    for signal, pipeline in tree.service.pipelines.items():
        ids = pipeline.processors
        for i, component_id in enumerate(ids):
            configured = processors.get(component_id)
            late = [later for later in ids[i + 1 :] if later.partition("/")[0] in FILLING]
            rules = getattr(configured.settings, "rules", None) if configured is not None else None
            if rules and late:
                where = document.where(("service", "pipelines", signal, "processors", i))
                problems.append(f"{where}: the rules of {component_id!r} read what {late[-1]!r} fills: put it behind")
    return problems


def _disagreements(traces: PipelineConfig, logs: PipelineConfig, document: Document) -> list[str]:
    """Return where the pipelines differ in what must be one: log records are joined to the spans they speak of."""
    path: KeyPath = ("service", "pipelines", "logs")
    problems = []
    if set(traces.exporters) != set(logs.exporters):
        problems.append(
            f"{document.where((*path, 'exporters'))}: must be those of the traces pipeline, "
            f"[{', '.join(traces.exporters)}]: log records are stored with the spans they belong to"
        )
    if tuple(p for p in traces.processors if p in logs.processors) != logs.processors:
        problems.append(
            f"{document.where((*path, 'processors'))}: must be among those of the traces pipeline, in the same "
            f"order: [{', '.join(traces.processors)}]: log records are processed with the spans they belong to"
        )
    return problems


def _configure(
    kind: ComponentKind, component_id: str, settings: Any, document: Document, registry: Registry
) -> Configured:
    path: KeyPath = (SECTIONS[kind], component_id)
    type_name, slash, name = component_id.partition("/")
    if not type_name or (slash and not name):
        raise ConfigError(f"{document.where(path)}: an id is `type` or `type/name`")
    try:
        component = registry.load(kind, type_name)
    except ConfigError as e:
        raise ConfigError(f"{document.where(path)}: {e}") from None
    try:
        checked = component.config.model_validate({} if settings is None else settings)
    except ValidationError as e:
        raise ConfigError("\n".join(explain(e, component.config, document, path))) from None
    return Configured(component_id, component, checked, lambda *keys: document.where((*path, *keys)))
