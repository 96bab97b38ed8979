-- What a language model said of traces that nothing else had decided about (`evalgate flag`). Machine evidence: it makes
-- no trace failing, and is no label. Append-only.
CREATE TABLE IF NOT EXISTS model_flags
(
    tenant LowCardinality(String),
    trace_id String,
    -- Hash of what the model is told and of its name: another prompt is another opinion.
    version LowCardinality(String),
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- One of a fixed list, 'none', or 'unreadable' where the answer was no verdict, which is not asked for again either.
    category LowCardinality(String),
    confidence Float64,
    reason String CODEC(ZSTD(3)),
    model LowCardinality(String),
    -- Why it was asked: 'ambiguous', or 'sample' with the share of the traces that nothing had been found in.
    chosen LowCardinality(String),
    rate Float64,
    cost_usd Nullable(Float64)
)
ENGINE = MergeTree
ORDER BY (tenant, trace_id, version)
SETTINGS ${durable};

-- Of each trace and version what was said first: of two who ask at once, one counts.
CREATE OR REPLACE VIEW flags AS
SELECT
    tenant,
    trace_id,
    version,
    f_at AS at,
    f.1 AS category,
    f.2 AS confidence,
    f.3 AS reason,
    f.4 AS model,
    f.5 AS chosen,
    f.6 AS rate,
    f.7 AS cost_usd
FROM
(
    SELECT
        tenant,
        trace_id,
        version,
        min(model_flags.at) AS f_at,
        argMin(tuple(category, confidence, reason, model, chosen, rate, cost_usd), (model_flags.at, reason)) AS f
    FROM model_flags
    GROUP BY tenant, trace_id, version
);
