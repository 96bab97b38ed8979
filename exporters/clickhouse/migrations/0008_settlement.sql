-- Settlement: what is only known of a trace as a whole (docs/settlement.md).
--
-- A span is understood twice: when its INSERT is made, from what came with it, and once its trace has been quiet, from
-- all of it. The second reading is written here, where it differs.

-- Spans of which the whole trace says something else. A row names its span's row exactly; `changed` names the columns
-- that hold here, all others are empty. `repeated`: another row of the same span stands for it. The latest version holds.
CREATE TABLE IF NOT EXISTS span_revisions
(
    tenant LowCardinality(String),
    received_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    sequence UInt64 CODEC(Delta, ZSTD(1)),
    version DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    repeated Bool,
    changed Array(LowCardinality(String)) CODEC(ZSTD(1)),

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
    input_text Nullable(String) CODEC(ZSTD(3)),
    output_text Nullable(String) CODEC(ZSTD(3)),
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

    INDEX trace_id_hex lower(hex(trace_id)) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(received_at)
ORDER BY (tenant, received_at, trace_id, span_id, sequence)
SETTINGS ${durable};

-- Traces that were read whole: what their sums were over the rows that were read (`was_`), and what they are. A row of
-- `trace_parts` carries it on to the view `traces`.
CREATE TABLE IF NOT EXISTS settlements
(
    tenant LowCardinality(String),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    received_hour DateTime('UTC'),
    version DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    rows UInt64,
    logs UInt64,
    span_count UInt64,
    error_count UInt64,
    was_error_count UInt64,
    llm_calls UInt64,
    was_llm_calls UInt64,
    input_tokens Nullable(Int64),
    was_input_tokens Nullable(Int64),
    output_tokens Nullable(Int64),
    was_output_tokens Nullable(Int64),
    cost_usd Nullable(Float64),
    was_cost_usd Nullable(Float64),
    session_id Nullable(String) CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    feature Nullable(String) CODEC(ZSTD(1)),
    defects Array(LowCardinality(String)) CODEC(ZSTD(1)),
    failing Bool,
    failure_reasons Array(LowCardinality(String)) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(received_hour)
ORDER BY (tenant, received_hour, trace_id)
SETTINGS ${durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_parts_from_settlements TO trace_parts AS
SELECT
    tenant,
    received_hour,
    trace_id,
    max(s_failing) AS failing,
    groupUniqArrayArray(s_failure_reasons) AS failure_reasons,
    argMaxState(figures, version) AS settled
FROM
(
    SELECT
        tenant,
        received_hour,
        trace_id,
        version,
        failing AS s_failing,
        CAST(failure_reasons, 'Array(String)') AS s_failure_reasons,
        CAST(
            (
                rows, logs, span_count, error_count, was_error_count, llm_calls, was_llm_calls, input_tokens,
                was_input_tokens, output_tokens, was_output_tokens, cost_usd, was_cost_usd, session_id, user_id, feature,
                defects
            ),
            'Tuple(rows UInt64, logs UInt64, span_count UInt64, error_count UInt64, was_error_count UInt64,
            llm_calls UInt64, was_llm_calls UInt64, input_tokens Nullable(Int64), was_input_tokens Nullable(Int64),
            output_tokens Nullable(Int64), was_output_tokens Nullable(Int64), cost_usd Nullable(Float64),
            was_cost_usd Nullable(Float64), session_id Nullable(String), user_id Nullable(String),
            feature Nullable(String), defects Array(String))'
        ) AS figures
    FROM settlements
)
GROUP BY tenant, received_hour, trace_id;

-- Up to when (by the clock of the database) every trace that was touched is settled. max() it.
CREATE TABLE IF NOT EXISTS settlement_progress
(
    name LowCardinality(String),
    until SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY name
SETTINGS ${durable};

-- Each span once, as its whole trace has it. What queries of spans read.
CREATE OR REPLACE VIEW settled_spans AS
SELECT
    s.tenant AS tenant,
    s.trace_id AS trace_id,
    s.span_id AS span_id,
    s.parent_span_id AS parent_span_id,
    s.received_at AS received_at,
    s.sequence AS sequence,
    s.start_time AS start_time,
    s.end_time AS end_time,
    s.duration_ns AS duration_ns,
    s.time_faults AS time_faults,
    s.name AS name,
    s.wire_kind AS wire_kind,
    s.status_code AS status_code,
    s.status_message AS status_message,
    s.trace_state AS trace_state,
    s.flags AS flags,
    s.dropped_attributes AS dropped_attributes,
    s.dropped_events AS dropped_events,
    s.dropped_links AS dropped_links,
    s.scope_name AS scope_name,
    s.scope_version AS scope_version,
    s.service_name AS service_name,
    if(has(r.changed, 'span_kind'), r.span_kind, s.span_kind) AS span_kind,
    if(has(r.changed, 'counted'), r.counted, s.counted) AS counted,
    if(has(r.changed, 'operation'), r.operation, s.operation) AS operation,
    if(has(r.changed, 'provider'), r.provider, s.provider) AS provider,
    if(has(r.changed, 'request_model'), r.request_model, s.request_model) AS request_model,
    if(has(r.changed, 'response_model'), r.response_model, s.response_model) AS response_model,
    if(has(r.changed, 'response_id'), r.response_id, s.response_id) AS response_id,
    if(has(r.changed, 'service_tier'), r.service_tier, s.service_tier) AS service_tier,
    if(has(r.changed, 'streaming'), r.streaming, s.streaming) AS streaming,
    if(has(r.changed, 'input_tokens'), r.input_tokens, s.input_tokens) AS input_tokens,
    if(has(r.changed, 'output_tokens'), r.output_tokens, s.output_tokens) AS output_tokens,
    if(has(r.changed, 'cache_read_tokens'), r.cache_read_tokens, s.cache_read_tokens) AS cache_read_tokens,
    if(has(r.changed, 'cache_write_tokens'), r.cache_write_tokens, s.cache_write_tokens) AS cache_write_tokens,
    if(has(r.changed, 'reasoning_tokens'), r.reasoning_tokens, s.reasoning_tokens) AS reasoning_tokens,
    if(has(r.changed, 'finish_reasons'), r.finish_reasons, s.finish_reasons) AS finish_reasons,
    if(has(r.changed, 'request_params'), r.request_params, s.request_params) AS request_params,
    if(has(r.changed, 'system_instructions'), r.system_instructions, s.system_instructions) AS system_instructions,
    if(has(r.changed, 'input_messages'), r.input_messages, s.input_messages) AS input_messages,
    if(has(r.changed, 'output_messages'), r.output_messages, s.output_messages) AS output_messages,
    if(has(r.changed, 'input_text'), r.input_text, s.input_text) AS input_text,
    if(has(r.changed, 'output_text'), r.output_text, s.output_text) AS output_text,
    if(has(r.changed, 'tool_name'), r.tool_name, s.tool_name) AS tool_name,
    if(has(r.changed, 'tool_call_id'), r.tool_call_id, s.tool_call_id) AS tool_call_id,
    if(has(r.changed, 'tool_arguments'), r.tool_arguments, s.tool_arguments) AS tool_arguments,
    if(has(r.changed, 'tool_result'), r.tool_result, s.tool_result) AS tool_result,
    if(has(r.changed, 'error'), r.error, s.error) AS error,
    if(has(r.changed, 'error_type'), r.error_type, s.error_type) AS error_type,
    if(has(r.changed, 'error_message'), r.error_message, s.error_message) AS error_message,
    if(has(r.changed, 'session_id'), r.session_id, s.session_id) AS session_id,
    if(has(r.changed, 'user_id'), r.user_id, s.user_id) AS user_id,
    if(has(r.changed, 'agent_name'), r.agent_name, s.agent_name) AS agent_name,
    if(has(r.changed, 'workflow_name'), r.workflow_name, s.workflow_name) AS workflow_name,
    if(has(r.changed, 'feature'), r.feature, s.feature) AS feature,
    if(has(r.changed, 'environment'), r.environment, s.environment) AS environment,
    if(has(r.changed, 'release'), r.release, s.release) AS release,
    if(has(r.changed, 'prompt_name'), r.prompt_name, s.prompt_name) AS prompt_name,
    if(has(r.changed, 'prompt_version'), r.prompt_version, s.prompt_version) AS prompt_version,
    if(has(r.changed, 'tags'), r.tags, s.tags) AS tags,
    if(has(r.changed, 'metadata'), r.metadata, s.metadata) AS metadata,
    if(has(r.changed, 'defects'), r.defects, s.defects) AS defects,
    if(has(r.changed, 'cost_usd'), r.cost_usd, s.cost_usd) AS cost_usd,
    if(has(r.changed, 'price_source'), r.price_source, s.price_source) AS price_source,
    if(has(r.changed, 'failing'), r.failing, s.failing) AS failing,
    if(has(r.changed, 'failure_reasons'), r.failure_reasons, s.failure_reasons) AS failure_reasons,
    s.baseline AS baseline,
    s.baseline_rate AS baseline_rate,
    s.arrival_rate AS arrival_rate,
    s.policy_version AS policy_version,
    s.sample_weight AS sample_weight,
    s.span_attributes AS span_attributes,
    s.resource_attributes AS resource_attributes,
    s.scope_attributes AS scope_attributes,
    s.`events.time` AS `events.time`,
    s.`events.name` AS `events.name`,
    s.`events.attributes` AS `events.attributes`,
    s.`links.trace_id` AS `links.trace_id`,
    s.`links.span_id` AS `links.span_id`,
    s.`links.trace_state` AS `links.trace_state`,
    s.`links.attributes` AS `links.attributes`
FROM spans AS s
LEFT JOIN (SELECT * FROM span_revisions FINAL) AS r
    ON s.tenant = r.tenant AND s.received_at = r.received_at AND s.sequence = r.sequence
    AND s.trace_id = r.trace_id AND s.span_id = r.span_id
WHERE s.copy_number = 0 AND NOT r.repeated;

-- One row per provider call.
CREATE OR REPLACE VIEW calls AS
SELECT
    tenant,
    lower(hex(trace_id)) AS trace_id,
    lower(hex(span_id)) AS span_id,
    received_at,
    start_time,
    duration_ns / 1e6 AS latency_ms,
    service_name,
    span_kind,
    operation,
    provider,
    ifNull(response_model, request_model) AS model,
    request_model,
    response_model,
    response_id,
    service_tier,
    streaming,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    reasoning_tokens,
    cost_usd,
    price_source,
    finish_reasons,
    error,
    error_type,
    session_id,
    user_id,
    agent_name,
    workflow_name,
    feature,
    environment,
    release,
    prompt_name,
    prompt_version,
    defects,
    failing,
    failure_reasons
FROM settled_spans
WHERE counted;

-- Models that were used and have no price: their cost is unknown, not 0.
CREATE OR REPLACE VIEW unpriced_models AS
SELECT
    tenant,
    provider,
    model,
    count() AS calls,
    sum(calls.input_tokens) AS input_tokens,
    sum(calls.output_tokens) AS output_tokens,
    min(start_time) AS first_seen,
    max(start_time) AS last_seen
FROM calls
WHERE isNull(cost_usd) AND (isNotNull(calls.input_tokens) OR isNotNull(calls.output_tokens))
GROUP BY tenant, provider, model;
