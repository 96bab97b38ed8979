-- Retention: what goes when, and what never does (docs/retention.md).

-- What was decided, in order: settings, holds, what goes. An entry has its number to itself: of two who decide at the same
-- time one finds the number taken, reads what the other wrote, and decides again.
CREATE TABLE IF NOT EXISTS retention_log
(
    number UInt64,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- settings, hold, release, decided, done, erase, erased
    kind LowCardinality(String),
    run String,
    actor String,
    reason String,
    -- JSON
    body String CODEC(ZSTD(1)),
    -- Names the writer's try: who reads its own there has the number.
    entry String
)
ENGINE = MergeTree
ORDER BY number
SETTINGS ${durable};

-- What a run decided of each trace: it `goes`, or it `stays` while what nobody flagged of its time goes, and stands for
-- that with `weight`. Holds once the run is `decided` in the log. Of rows without a trace, whose id is 0, those of one day.
CREATE TABLE IF NOT EXISTS retention_decisions
(
    run String,
    fate LowCardinality(String),
    tenant LowCardinality(String),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    last_day Date,
    weight Float64,
    -- Of those that arrived: without what samplers before us left out.
    span_weight Float32,
    at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (run, fate, tenant, trace_id)
TTL at + INTERVAL 7 DAY DELETE WHERE fate = 'stays', at + INTERVAL 90 DAY
SETTINGS ${durable};

-- How many rows a run removes, counted before it begins: what the ledger must say in the end.
CREATE TABLE IF NOT EXISTS retention_counts
(
    run String,
    day Date,
    tenant LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    signal LowCardinality(String),
    count UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, run, tenant, minute, signal)
SETTINGS ${durable};

-- Traces that retention must leave alone, and those that were let go again: who, when and why. Append-only.
CREATE TABLE IF NOT EXISTS holds
(
    tenant LowCardinality(String),
    -- Lower-case hex.
    trace_id String CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    held Bool,
    reason String,
    actor String
)
ENGINE = MergeTree
ORDER BY (tenant, trace_id, at)
SETTINGS ${durable};

CREATE OR REPLACE VIEW held_traces AS
SELECT tenant, trace_id, h.1 AS since, h.2 AS reason, h.3 AS actor
FROM
(
    SELECT tenant, trace_id, argMax((at, reason, actor), at) AS h, argMax(held, at) AS h_held
    FROM holds
    GROUP BY tenant, trace_id
)
WHERE h_held;
