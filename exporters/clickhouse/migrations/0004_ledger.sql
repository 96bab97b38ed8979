-- The ledger: every span and log record ends in exactly one state. Counts per minute of receipt; sum() them.
CREATE TABLE IF NOT EXISTS ledger ${on_cluster}
(
    tenant LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    signal LowCardinality(String),
    state LowCardinality(String),
    reason LowCardinality(String),
    count UInt64 CODEC(ZSTD(1))
)
ENGINE = ${replicated}SummingMergeTree(count)
PARTITION BY toDate(minute)
ORDER BY (tenant, minute, signal, state, reason)
SETTINGS ${durable};
