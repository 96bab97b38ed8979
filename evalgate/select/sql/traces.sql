-- Traces as the list shows them: what failed first, then what was sampled, then the rest, the latest first.
-- Which ones is found first, by few columns; summing up all columns of all traces would cost twenty times as much.
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
WHERE true /* conditions */
ORDER BY failing DESC, flagged DESC, start_time DESC, trace_id
