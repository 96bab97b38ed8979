-- The ledger: every span, log record and feedback entry ends in exactly one state (schema/ledger.py). Counts per minute
-- of receipt; sum() them: a change of state is a row with a minus in the old state and one with a plus in the new.
CREATE TABLE IF NOT EXISTS ledger
(
    tenant LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    signal LowCardinality(String),
    state LowCardinality(String),
    reason LowCardinality(String),
    count Int64 CODEC(ZSTD(1)),
    -- Requests that were refused, or are set aside, before anybody could count what they hold.
    uncounted_requests Int64 CODEC(ZSTD(1))
)
ENGINE = SummingMergeTree((count, uncounted_requests))
PARTITION BY toDate(minute)
ORDER BY (tenant, minute, signal, state, reason)
SETTINGS ${durable};
