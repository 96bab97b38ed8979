-- Some traces as a list shows them, by their whole ids.
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
WHERE trace_id IN {trace_ids:Array(String)}
/* bounds */
