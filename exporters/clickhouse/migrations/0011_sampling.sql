-- Sampling policies: what each `policy_version` of a span stands for. Written at the start of a collector, once per
-- version: the deduplication token is the version.
CREATE TABLE IF NOT EXISTS sampling_policies
(
    version String,
    first_seen DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    -- The settings of the processors `failure` and `sample`, JSON.
    body String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY version
SETTINGS ${durable};

-- Baseline rates that a collector raised by itself to reach `target_per_day`: one row each time one changed. Of a
-- tenant and rule (docs/sampling.md) the latest row holds.
CREATE TABLE IF NOT EXISTS baseline_rates
(
    tenant LowCardinality(String),
    rule LowCardinality(String),
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    -- Since then, and what was set.
    rate Float64,
    set_rate Float64,
    target_per_day Float64,
    -- What it was computed from: traces of the last day in which nothing fails, and how many of them the baseline has.
    traces UInt64,
    sampled_traces UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, rule, at)
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS ${durable};
