-- Clusters: traces that behave alike, grouped by `evalgate cluster run`. Append-only: each run writes what it saw, and
-- its row in cluster_runs last, which makes all of it count. INSERTs of one tenant and number have one deduplication
-- token, so of two runs that end at once the first has the number, and the other matches anew (evalgate/cluster/store.py).
CREATE TABLE IF NOT EXISTS cluster_runs
(
    tenant LowCardinality(String),
    number UInt32,
    run_id String,
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- failing or all: which traces were grouped. Clusters of the one are none of the other.
    scope LowCardinality(String),
    -- What was asked for and what was found, as JSON.
    body String CODEC(ZSTD(3)),
    actor String
)
ENGINE = MergeTree
ORDER BY (tenant, number)
SETTINGS ${durable};

-- What a run saw of a cluster. The columns of its window alone; what it showed of older traces is not counted.
CREATE TABLE IF NOT EXISTS cluster_sightings
(
    tenant LowCardinality(String),
    cluster_id UInt32,
    number UInt32,
    run_id String,
    scope LowCardinality(String),
    name String,
    terms Array(String),
    traces UInt64,
    failing_traces UInt64,
    -- Sums of sample_weight: of its traces, and of all traces that were grouped.
    weight Float64,
    total_weight Float64,
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    -- Shape, the commonest first: root span, feature, failure reasons, tools in their order.
    root_names Array(String),
    features Array(String),
    failure_reasons Array(String),
    tool_paths Array(String),
    trend LowCardinality(String),
    -- Its traces in each half of the window, and all that were grouped then.
    early_traces UInt64,
    late_traces UInt64,
    early_total UInt64,
    late_total UInt64
)
ENGINE = MergeTree
ORDER BY (tenant, cluster_id, number)
SETTINGS ${durable};

CREATE TABLE IF NOT EXISTS cluster_members
(
    tenant LowCardinality(String),
    trace_id String,
    number UInt32,
    run_id String,
    scope LowCardinality(String),
    -- 0: like no others.
    cluster_id UInt32,
    -- How deep inside its cluster, 0 to 1.
    strength Float32,
    -- 1 for the medoid, then traces of the core that differ most; 0 for others.
    representative UInt8,
    -- False of older traces that were grouped along to know clusters again.
    in_window Bool,
    sample_weight Float64,
    start_time DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (tenant, scope, trace_id, number)
SETTINGS ${durable};

-- born; split_from and merged_into another cluster, with the part of the traces that went that way.
CREATE TABLE IF NOT EXISTS cluster_events
(
    tenant LowCardinality(String),
    cluster_id UInt32,
    number UInt32,
    run_id String,
    scope LowCardinality(String),
    event LowCardinality(String),
    other_id UInt32,
    share Float64
)
ENGINE = MergeTree
ORDER BY (tenant, cluster_id, number)
SETTINGS ${durable};

-- Each cluster as its latest run saw it.
CREATE OR REPLACE VIEW clusters AS
SELECT
    tenant,
    scope,
    cluster_id,
    c_number AS number,
    c.1 AS name,
    c.2 AS terms,
    c.3 AS traces,
    c.4 AS failing_traces,
    c.5 AS weight,
    c.6 AS total_weight,
    c_first_seen AS first_seen,
    c_last_seen AS last_seen,
    c.7 AS root_names,
    c.8 AS features,
    c.9 AS failure_reasons,
    c.10 AS tool_paths,
    c.11 AS trend,
    c.12 AS early_traces,
    c.13 AS late_traces,
    c.14 AS early_total,
    c.15 AS late_total,
    c_runs AS runs
FROM
(
    SELECT
        tenant,
        scope,
        cluster_id,
        max(cluster_sightings.number) AS c_number,
        argMax(
            tuple(
                name, terms, traces, failing_traces, weight, total_weight, root_names, features, failure_reasons,
                tool_paths, trend, early_traces, late_traces, early_total, late_total
            ),
            cluster_sightings.number
        ) AS c,
        min(first_seen) AS c_first_seen,
        max(last_seen) AS c_last_seen,
        count() AS c_runs
    FROM cluster_sightings
    WHERE (tenant, run_id) IN (SELECT tenant, argMin(run_id, at) FROM cluster_runs GROUP BY tenant, cluster_runs.number)
    GROUP BY tenant, scope, cluster_id
);

-- Each trace where its latest run put it.
CREATE OR REPLACE VIEW clustered_traces AS
SELECT
    tenant,
    scope,
    trace_id,
    m_number AS number,
    m.1 AS cluster_id,
    m.2 AS strength,
    m.3 AS representative,
    m.4 AS in_window,
    m.5 AS sample_weight,
    m.6 AS start_time
FROM
(
    SELECT
        tenant,
        scope,
        trace_id,
        max(cluster_members.number) AS m_number,
        argMax(
            tuple(cluster_id, strength, representative, in_window, sample_weight, start_time), cluster_members.number
        ) AS m
    FROM cluster_members
    WHERE (tenant, run_id) IN (SELECT tenant, argMin(run_id, at) FROM cluster_runs GROUP BY tenant, cluster_runs.number)
    GROUP BY tenant, scope, trace_id
);
