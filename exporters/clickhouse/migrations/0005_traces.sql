-- Traces: partial sums per insert, merged in the background and again at reading.
--
-- A trace may come in many inserts, over hours, with its feedback before or after it: so there is nothing here but
-- functions that do not care about order. What is unknown is NULL and ignored by min, max and argMin.
--
-- The sums are over rows as each INSERT understood them. What the whole trace says differently is in `settled`, the
-- latest settlement (0008): figures over the first `rows` spans as they are (`was_`) and as they should be. A view of
-- the trace takes the difference; what came after the settlement adds to it.
CREATE TABLE IF NOT EXISTS trace_parts
(
    tenant LowCardinality(String),
    received_hour DateTime('UTC'),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    received_at SimpleAggregateFunction(min, Nullable(DateTime64(9, 'UTC'))) CODEC(ZSTD(1)),
    start_time SimpleAggregateFunction(min, Nullable(DateTime64(9, 'UTC'))) CODEC(ZSTD(1)),
    end_time SimpleAggregateFunction(max, Nullable(DateTime64(9, 'UTC'))) CODEC(ZSTD(1)),
    span_count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    error_count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    llm_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, Nullable(Int64)) CODEC(ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, Nullable(Int64)) CODEC(ZSTD(1)),
    cost_usd SimpleAggregateFunction(sum, Nullable(Float64)) CODEC(ZSTD(1)),
    -- Of the root where it is known, else of the earliest span: the key is the start in nanoseconds, plus 2^63 where it
    -- is not the root. A number: with tuples as key the whole view costs a third more (measured).
    root_name AggregateFunction(argMin, String, UInt64) CODEC(ZSTD(1)),
    service_name AggregateFunction(argMin, String, UInt64) CODEC(ZSTD(1)),
    session_id AggregateFunction(argMin, Nullable(String), UInt64) CODEC(ZSTD(1)),
    user_id AggregateFunction(argMin, Nullable(String), UInt64) CODEC(ZSTD(1)),
    agent_name AggregateFunction(argMin, Nullable(String), UInt64) CODEC(ZSTD(1)),
    feature AggregateFunction(argMin, Nullable(String), UInt64) CODEC(ZSTD(1)),
    environment AggregateFunction(argMin, Nullable(String), UInt64) CODEC(ZSTD(1)),
    release AggregateFunction(argMin, Nullable(String), UInt64) CODEC(ZSTD(1)),
    failing SimpleAggregateFunction(max, Bool),
    failure_reasons SimpleAggregateFunction(groupUniqArrayArray, Array(String)) CODEC(ZSTD(1)),
    baseline SimpleAggregateFunction(max, Bool),
    -- A trace is in the baseline iff its random number reaches the smallest of its spans' thresholds: with exactly the
    -- highest of their rates.
    baseline_rate SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    arrival_rate SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    policy_versions SimpleAggregateFunction(groupUniqArrayArray, Array(String)) CODEC(ZSTD(1)),
    -- The weight that the trace had when the traces that nobody flagged went: what is found out of it later does not
    -- bring back the others it stands for.
    frozen_weight SimpleAggregateFunction(max, Nullable(Float64)) CODEC(ZSTD(1)),
    defects SimpleAggregateFunction(groupUniqArrayArray, Array(String)) CODEC(ZSTD(1)),

    -- Whether the trace must be read as a whole: it came in several INSERTs, or something in it has no counterpart in
    -- its own INSERT (a parent, the first of two rows of a span, the span of a log record).
    inserts SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    loose_ends SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    loose_logs SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    content_bytes SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    touched_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    settled AggregateFunction(argMax, Tuple(
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
        session_id Nullable(String),
        user_id Nullable(String),
        feature Nullable(String),
        defects Array(String)
    ), DateTime64(9, 'UTC')) CODEC(ZSTD(1)),

    INDEX touched_at touched_at TYPE minmax GRANULARITY 1,
    -- A page of a list looks up 50 ids at once: at one false hit in a hundred half of the table would be read for it.
    INDEX trace_id_hex lower(hex(trace_id)) TYPE bloom_filter(0.0001) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(received_hour)
ORDER BY (tenant, received_hour, trace_id)
SETTINGS ${durable};

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_parts_from_spans TO trace_parts AS
SELECT
    tenant,
    received_hour,
    trace_id,
    min(s_received_at) AS received_at,
    min(s_start_time) AS start_time,
    max(s_end_time) AS end_time,
    countIf(s_first) AS span_count,
    countIf(s_error AND s_first) AS error_count,
    countIf(s_counted AND s_first) AS llm_calls,
    sumIf(s_input_tokens, s_counted AND s_first) AS input_tokens,
    sumIf(s_output_tokens, s_counted AND s_first) AS output_tokens,
    sumIf(s_cost_usd, s_counted AND s_first) AS cost_usd,
    argMinState(s_name, rank) AS root_name,
    argMinState(s_service_name, rank) AS service_name,
    argMinState(s_session_id, rank) AS session_id,
    argMinState(s_user_id, rank) AS user_id,
    argMinState(s_agent_name, rank) AS agent_name,
    argMinState(s_feature, rank) AS feature,
    argMinState(s_environment, rank) AS environment,
    argMinState(s_release, rank) AS release,
    max(s_failing) AS failing,
    groupUniqArrayArray(s_failure_reasons) AS failure_reasons,
    max(s_baseline) AS baseline,
    max(s_baseline_rate) AS baseline_rate,
    max(s_arrival_rate) AS arrival_rate,
    groupUniqArray(s_policy_version) AS policy_versions,
    groupUniqArrayArray(s_defects) AS defects,
    1 AS inserts,
    -- Ids named as parent that are no span of this INSERT, and rows beyond the first of a span.
    uniqExactArray([span_id, s_parent]) - uniqExact(span_id) + count() - uniqExact(span_id) AS loose_ends,
    sum(s_bytes) AS content_bytes,
    now64(3, 'UTC') AS touched_at
FROM
(
    SELECT
        tenant,
        toStartOfHour(toDateTime(received_at, 'UTC')) AS received_hour,
        trace_id,
        span_id,
        if(parent_span_id = toFixedString('', 8), span_id, parent_span_id) AS s_parent,
        copy_number = 0 AS s_first,
        toNullable(received_at) AS s_received_at,
        toNullable(start_time) AS s_start_time,
        toNullable(end_time) AS s_end_time,
        toUInt64(toUnixTimestamp64Nano(start_time))
            + if(parent_span_id != toFixedString('', 8), 9223372036854775808, 0) AS rank,
        toString(name) AS s_name,
        toString(service_name) AS s_service_name,
        CAST(session_id, 'Nullable(String)') AS s_session_id,
        CAST(user_id, 'Nullable(String)') AS s_user_id,
        CAST(agent_name, 'Nullable(String)') AS s_agent_name,
        CAST(feature, 'Nullable(String)') AS s_feature,
        CAST(environment, 'Nullable(String)') AS s_environment,
        CAST(release, 'Nullable(String)') AS s_release,
        ifNull(error, status_code = 'error') AS s_error,
        ifNull(counted, false) AS s_counted,
        input_tokens AS s_input_tokens,
        output_tokens AS s_output_tokens,
        cost_usd AS s_cost_usd,
        ifNull(failing, false) AS s_failing,
        CAST(failure_reasons, 'Array(String)') AS s_failure_reasons,
        ifNull(baseline, false) AS s_baseline,
        baseline_rate AS s_baseline_rate,
        arrival_rate AS s_arrival_rate,
        CAST(policy_version, 'Nullable(String)') AS s_policy_version,
        CAST(defects, 'Array(String)') AS s_defects,
        byteSize(span_attributes, `events.attributes`) AS s_bytes
    FROM spans
)
GROUP BY tenant, received_hour, trace_id;

-- A log record that came without its span is a reason to read the trace again.
CREATE MATERIALIZED VIEW IF NOT EXISTS trace_parts_from_events TO trace_parts AS
SELECT
    tenant,
    received_hour,
    trace_id,
    count() AS loose_ends,
    count() AS loose_logs,
    sum(l_bytes) AS content_bytes,
    now64(3, 'UTC') AS touched_at
FROM
(
    SELECT
        tenant,
        toStartOfHour(toDateTime(received_at, 'UTC')) AS received_hour,
        trace_id,
        byteSize(body, attributes) AS l_bytes
    FROM events
    WHERE loose
)
GROUP BY tenant, received_hour, trace_id;

-- A thumbs-down makes the trace failing, whenever it comes.
CREATE MATERIALIZED VIEW IF NOT EXISTS trace_parts_from_feedback TO trace_parts AS
SELECT
    tenant,
    received_hour,
    trace_id,
    true AS failing,
    groupUniqArray(reason) AS failure_reasons
FROM
(
    SELECT
        tenant,
        toStartOfHour(toDateTime(received_at, 'UTC')) AS received_hour,
        toFixedString(unhex(feedback.trace_id), 16) AS trace_id,
        concat('feedback:', name) AS reason
    FROM feedback
    -- Qualified: the alias would stand for the column here.
    WHERE polarity = 'negative' AND match(feedback.trace_id, '^[0-9a-f]{32}$$')
)
GROUP BY tenant, received_hour, trace_id;

CREATE OR REPLACE VIEW traces AS
SELECT
    tenant,
    lower(hex(id)) AS trace_id,
    assumeNotNull(t_start_time) AS start_time,
    assumeNotNull(t_end_time) AS end_time,
    (toUnixTimestamp64Nano(end_time) - toUnixTimestamp64Nano(start_time)) / 1e6 AS duration_ms,
    t_root_name AS root_name,
    t_service_name AS service_name,
    toUInt64(greatest(toInt64(t_span_count) - toInt64(s.rows) + toInt64(s.span_count), 0)) AS span_count,
    toUInt64(greatest(toInt64(t_error_count) - toInt64(s.was_error_count) + toInt64(s.error_count), 0)) AS error_count,
    toUInt64(greatest(toInt64(t_llm_calls) - toInt64(s.was_llm_calls) + toInt64(s.llm_calls), 0)) AS llm_calls,
    multiIf(
        s.rows = 0, t_input_tokens,
        s.rows = t_span_count OR (isNull(t_input_tokens) AND isNull(s.input_tokens)), s.input_tokens,
        ifNull(t_input_tokens, 0) - ifNull(s.was_input_tokens, 0) + ifNull(s.input_tokens, 0)
    ) AS input_tokens,
    multiIf(
        s.rows = 0, t_output_tokens,
        s.rows = t_span_count OR (isNull(t_output_tokens) AND isNull(s.output_tokens)), s.output_tokens,
        ifNull(t_output_tokens, 0) - ifNull(s.was_output_tokens, 0) + ifNull(s.output_tokens, 0)
    ) AS output_tokens,
    multiIf(
        s.rows = 0, t_cost_usd,
        s.rows = t_span_count OR (isNull(t_cost_usd) AND isNull(s.cost_usd)), s.cost_usd,
        ifNull(t_cost_usd, 0) - ifNull(s.was_cost_usd, 0) + ifNull(s.cost_usd, 0)
    ) AS cost_usd,
    ifNull(s.session_id, t_session_id) AS session_id,
    -- What to group conversations by: a trace of no session is one of its own.
    ifNull(session_id, lower(hex(id))) AS session_key,
    ifNull(s.user_id, t_user_id) AS user_id,
    t_agent_name AS agent_name,
    ifNull(s.feature, t_feature) AS feature,
    t_environment AS environment,
    t_release AS release,
    t_failing AS failing,
    arraySort(t_failure_reasons) AS failure_reasons,
    t_baseline AS baseline,
    ifNull(t_baseline_rate, 0.) AS baseline_rate,
    -- The part of all traces that whoever sampled before us let through; NULL: nobody said.
    t_arrival_rate AS arrival_rate,
    arraySort(t_policy_versions) AS policy_versions,
    CAST(t_failing OR t_baseline, 'Bool') AS flagged,
    -- What it stands for since what nobody flagged of its time is gone; NULL: everything of its time is here.
    t_frozen_weight AS frozen_weight,
    -- Of one in which nothing fails, to be flagged; of a failing one, to be here at all.
    multiIf(
        t_frozen_weight > 0, 1. / assumeNotNull(t_frozen_weight),
        t_failing, ifNull(t_arrival_rate, 1.),
        least(ifNull(t_arrival_rate, 1.), ifNull(t_baseline_rate, 0.))
    ) AS inclusion_probability,
    -- Where no rate is known, a trace stands for itself. What was frozen at 0 was kept by hand: no sample of anything.
    if(flagged AND ifNull(t_frozen_weight, 1.) > 0, 1. / if(inclusion_probability > 0, inclusion_probability, 1.), 0.) AS sample_weight,
    assumeNotNull(t_received_at) AS received_at,
    arraySort(if(s.rows = 0, t_defects, s.defects)) AS trace_defects,
    -- Nothing is left to be read as a whole.
    CAST((t_inserts <= 1 AND t_loose_ends = 0) OR (s.rows = t_span_count AND s.logs = t_loose_logs), 'Bool') AS settled
FROM
(
    SELECT
        tenant,
        trace_id AS id,
        min(start_time) AS t_start_time,
        max(end_time) AS t_end_time,
        argMinMerge(root_name) AS t_root_name,
        argMinMerge(service_name) AS t_service_name,
        sum(span_count) AS t_span_count,
        sum(error_count) AS t_error_count,
        sum(llm_calls) AS t_llm_calls,
        sum(input_tokens) AS t_input_tokens,
        sum(output_tokens) AS t_output_tokens,
        sum(cost_usd) AS t_cost_usd,
        argMinMerge(session_id) AS t_session_id,
        argMinMerge(user_id) AS t_user_id,
        argMinMerge(agent_name) AS t_agent_name,
        argMinMerge(feature) AS t_feature,
        argMinMerge(environment) AS t_environment,
        argMinMerge(release) AS t_release,
        max(failing) AS t_failing,
        groupUniqArrayArray(failure_reasons) AS t_failure_reasons,
        max(baseline) AS t_baseline,
        max(baseline_rate) AS t_baseline_rate,
        max(arrival_rate) AS t_arrival_rate,
        groupUniqArrayArray(policy_versions) AS t_policy_versions,
        max(frozen_weight) AS t_frozen_weight,
        min(received_at) AS t_received_at,
        groupUniqArrayArray(defects) AS t_defects,
        sum(inserts) AS t_inserts,
        sum(loose_ends) AS t_loose_ends,
        sum(loose_logs) AS t_loose_logs,
        argMaxMerge(settled) AS s
    FROM trace_parts
    GROUP BY tenant, id
)
WHERE t_span_count > 0;

CREATE OR REPLACE VIEW flagged_traces AS SELECT * FROM traces WHERE flagged;
