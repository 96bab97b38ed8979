-- Some traces, a line of each: when, how it went, and what the user said last in it, cut for a line.
SELECT
    t.trace_id AS trace_id,
    toUnixTimestamp64Nano(t.start_time) AS start_unix_ns,
    t.duration_ms AS duration_ms,
    t.root_name AS root_name,
    t.service_name AS service_name,
    ifNull(t.feature, '') AS feature_name,
    t.failing AS is_failing,
    t.failure_reasons AS reasons,
    t.sample_weight AS weight,
    ifNull(t.user_id, '') AS user_name,
    ifNull(t.session_id, '') AS session_name,
    a.asked AS asked
FROM
(
    SELECT *
    FROM tenant_traces(tenant = {tenant:String})
    WHERE trace_id IN {trace_ids:Array(String)}
) AS t
LEFT JOIN
(
    SELECT
        lower(hex(trace_id)) AS of_trace,
        argMin(
            substringUTF8(assumeNotNull(input_text), 1, 400), (parent_span_id != toFixedString('', 8), start_time)
        ) AS asked
    FROM tenant_settled_spans(tenant = {tenant:String})
    WHERE span_kind IN ('agent', 'workflow', 'llm')
        AND input_text != ''
        AND lower(hex(trace_id)) IN {trace_ids:Array(String)}
    GROUP BY trace_id
) AS a ON t.trace_id = a.of_trace
