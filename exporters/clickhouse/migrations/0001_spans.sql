-- Spans: one row per received span, the sender's columns first, then what the processors derived of the INSERT it came
-- in. What the whole trace says differently is in span_revisions; the view settled_spans shows both as one.
--
-- Partition: the day of receipt, which a replay repeats; a span's own clock may say anything.
-- Order: tenant, hour of receipt, service, trace. Lists and rates read few services of few hours; the spans of a
-- trace lie together, which compresses conversations well, and a lookup by trace id reads few granules.
CREATE TABLE IF NOT EXISTS spans
(
    tenant LowCardinality(String),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    parent_span_id FixedString(8) CODEC(ZSTD(1)),
    received_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    -- With received_at and the ids this names one row: the number of the request in its journal, and which of several
    -- rows of one span in one INSERT it is.
    sequence UInt64 CODEC(Delta, ZSTD(1)),
    copy_number UInt16 CODEC(ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    end_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ns UInt64 CODEC(T64, ZSTD(1)),
    time_faults Array(LowCardinality(String)) CODEC(ZSTD(1)),
    name LowCardinality(String) CODEC(ZSTD(1)),
    wire_kind LowCardinality(String),
    status_code LowCardinality(String),
    status_message String CODEC(ZSTD(1)),
    trace_state String CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    -- By the sender, and by the processor `limits`.
    dropped_attributes UInt32 CODEC(ZSTD(1)),
    dropped_events UInt32 CODEC(ZSTD(1)),
    dropped_links UInt32 CODEC(ZSTD(1)),
    scope_name LowCardinality(String) CODEC(ZSTD(1)),
    scope_version LowCardinality(String) CODEC(ZSTD(1)),

    service_name LowCardinality(String) CODEC(ZSTD(1)),
    span_kind LowCardinality(Nullable(String)),
    counted Nullable(Bool),
    operation LowCardinality(Nullable(String)),
    provider LowCardinality(Nullable(String)),
    request_model LowCardinality(Nullable(String)),
    response_model LowCardinality(Nullable(String)),
    response_id Nullable(String) CODEC(ZSTD(1)),
    service_tier LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    streaming Nullable(Bool),
    input_tokens Nullable(Int64) CODEC(ZSTD(1)),
    output_tokens Nullable(Int64) CODEC(ZSTD(1)),
    cache_read_tokens Nullable(Int64) CODEC(ZSTD(1)),
    cache_write_tokens Nullable(Int64) CODEC(ZSTD(1)),
    reasoning_tokens Nullable(Int64) CODEC(ZSTD(1)),
    finish_reasons Array(LowCardinality(String)) CODEC(ZSTD(1)),
    request_params Nullable(String) CODEC(ZSTD(1)),
    system_instructions Nullable(String) CODEC(ZSTD(3)),
    input_messages Nullable(String) CODEC(ZSTD(3)),
    output_messages Nullable(String) CODEC(ZSTD(3)),
    -- A text that is one string of the messages is read from there; it would be a quarter of what is stored. Where it
    -- starts, its length between the quotes, 0 where it is kept here.
    input_text_at UInt32 CODEC(ZSTD(1)),
    input_text_bytes UInt32 CODEC(ZSTD(1)),
    input_text_kept Nullable(String) CODEC(ZSTD(3)),
    input_text Nullable(String) ALIAS if(
        input_text_bytes = 0,
        input_text_kept,
        JSONExtractString(concat('"', substring(input_messages, input_text_at, input_text_bytes), '"'))
    ),
    output_text_at UInt32 CODEC(ZSTD(1)),
    output_text_bytes UInt32 CODEC(ZSTD(1)),
    output_text_kept Nullable(String) CODEC(ZSTD(3)),
    output_text Nullable(String) ALIAS if(
        output_text_bytes = 0,
        output_text_kept,
        JSONExtractString(concat('"', substring(output_messages, output_text_at, output_text_bytes), '"'))
    ),
    tool_name LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    tool_call_id Nullable(String) CODEC(ZSTD(1)),
    tool_arguments Nullable(String) CODEC(ZSTD(3)),
    tool_result Nullable(String) CODEC(ZSTD(3)),
    error Nullable(Bool),
    error_type LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    error_message Nullable(String) CODEC(ZSTD(1)),
    session_id Nullable(String) CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    agent_name LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    workflow_name LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    feature LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    environment LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    release LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    prompt_name LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    prompt_version LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    tags Array(LowCardinality(String)) CODEC(ZSTD(1)),
    metadata Nullable(String) CODEC(ZSTD(1)),
    defects Array(LowCardinality(String)) CODEC(ZSTD(1)),
    cost_usd Nullable(Float64) CODEC(ZSTD(1)),
    price_source LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    failing Nullable(Bool),
    failure_reasons Array(LowCardinality(String)) CODEC(ZSTD(1)),
    baseline Nullable(Bool),
    baseline_rate Nullable(Float64) CODEC(ZSTD(1)),
    arrival_rate Nullable(Float64) CODEC(ZSTD(1)),
    policy_version LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    -- How many of the spans that arrived this one stands for: 1 while all of its day are here. Retention sets it when the
    -- traces that nobody flagged go; no INSERT writes it.
    sample_weight Float32 DEFAULT 1 CODEC(ZSTD(1)),

    span_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    scope_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    events Nested
    (
        time DateTime64(9, 'UTC'),
        name LowCardinality(String),
        attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    links Nested
    (
        trace_id String,
        span_id String,
        trace_state String,
        attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),

    -- Lookups by hex id, ours and those of dashboards on otel_traces. No filters over whole maps: they cost more
    -- per insert than the columns they index.
    INDEX trace_id_hex lower(hex(trace_id)) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX response_id response_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX session_id session_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX start_time start_time TYPE minmax GRANULARITY 1,
    INDEX duration_ns duration_ns TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY (tenant, toStartOfHour(received_at), service_name, trace_id, start_time)
SETTINGS ${durable}, ${large};
