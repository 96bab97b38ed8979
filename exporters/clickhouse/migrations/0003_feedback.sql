-- What people and evaluators said of traces, spans, responses or sessions, as found in spans, events and logs.
-- Ids are lower-case hex, '' when the feedback did not name one.
CREATE TABLE IF NOT EXISTS feedback
(
    tenant LowCardinality(String),
    received_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    time_unix_ns UInt64 CODEC(Delta, ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    response_id Nullable(String) CODEC(ZSTD(1)),
    session_id Nullable(String) CODEC(ZSTD(1)),
    name LowCardinality(String),
    value Nullable(String) CODEC(ZSTD(1)),
    label Nullable(String) CODEC(ZSTD(1)),
    comment Nullable(String) CODEC(ZSTD(3)),
    source LowCardinality(String),
    polarity LowCardinality(String),
    time DateTime64(9, 'UTC') ALIAS fromUnixTimestamp64Nano(toInt64(least(time_unix_ns, 9223372036854775807)), 'UTC'),

    INDEX trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (tenant, toStartOfHour(received_at), trace_id, time_unix_ns)
SETTINGS ${durable};
