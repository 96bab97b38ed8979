-- One page of a list of traces: which ones is found by few columns first. /* key */ is what the list is sorted by.
SELECT
    trace_id,
    toUnixTimestamp64Nano(start_time) AS start_unix_ns,
    duration_ms,
    root_name,
    service_name,
    span_count,
    error_count,
    llm_calls,
    input_tokens,
    output_tokens,
    cost_usd,
    session_id,
    user_id,
    agent_name,
    feature,
    environment,
    release,
    failing,
    failure_reasons,
    baseline,
    baseline_rate,
    arrival_rate,
    policy_versions,
    flagged,
    inclusion_probability,
    sample_weight,
    trace_defects
FROM tenant_traces(tenant = {tenant:String})
WHERE trace_id IN (
        SELECT trace_id
        FROM tenant_traces(tenant = {tenant:String})
        WHERE start_time >= fromUnixTimestamp64Nano({from_ns:Int64})
            AND start_time < fromUnixTimestamp64Nano({until_ns:Int64})
            /* candidates */
            /* conditions */
        ORDER BY /* key */ DESC, trace_id DESC
        LIMIT {limit:UInt32}
    )
ORDER BY /* key */ DESC, trace_id DESC
/* bounds */
