-- The traces that are compared with each other, one row each; of these, which the conditions ask for.
SELECT
    trace_id AS trace,
    toUnixTimestamp64Nano(start_time) AS start_ns,
    toUnixTimestamp64Nano(end_time) AS end_ns,
    duration_ms AS took_ms,
    service_name AS service,
    ifNull(feature, '') AS of_feature,
    root_name AS root,
    session_key AS session,
    llm_calls AS calls,
    if(isNull(input_tokens) AND isNull(output_tokens), NULL, ifNull(input_tokens, 0) + ifNull(output_tokens, 0)) AS tokens,
    cost_usd AS cost,
    failing AS is_failing,
    failure_reasons AS reasons,
    trace_defects AS found_defects,
    sample_weight AS weight,
    CAST(true /* conditions */, 'Bool') AS is_asked_for
FROM tenant_traces(tenant = {tenant:String})
WHERE received_at >= toDateTime({first_s:UInt32}, 'UTC') AND received_at < toDateTime({last_s:UInt32}, 'UTC')
    AND trace_id IN (
        SELECT lower(hex(trace_id))
        FROM tenant_trace_parts(tenant = {tenant:String})
        WHERE received_hour >= toDateTime({first_s:UInt32}, 'UTC') AND received_hour < toDateTime({last_s:UInt32}, 'UTC')
    )
ORDER BY trace
