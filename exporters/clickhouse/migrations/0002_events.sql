-- Log records, as received; what names a span is joined to it by trace_id and span_id.
CREATE TABLE IF NOT EXISTS events
(
    tenant LowCardinality(String),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    received_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    time_faults Array(LowCardinality(String)) CODEC(ZSTD(1)),
    event_name LowCardinality(String) CODEC(ZSTD(1)),
    severity_number UInt8,
    severity_text LowCardinality(String),
    body String CODEC(ZSTD(3)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    scope_name LowCardinality(String) CODEC(ZSTD(1)),
    service_name LowCardinality(String) CODEC(ZSTD(1)),
    -- It tells of a model call or a tool, and its span did not come in the same INSERT: joined at settlement.
    loose Bool,

    INDEX trace_id_hex lower(hex(trace_id)) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX time time TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (tenant, toStartOfHour(received_at), service_name, event_name, trace_id, time)
SETTINGS ${durable}, ${large};
