-- The latest traces that meet the conditions, as few columns as say which.
SELECT
    trace_id,
    toUnixTimestamp64Nano(start_time) AS start_unix_ns,
    toUnixTimestamp(toDateTime(received_at, 'UTC')) AS received_unix_s,
    root_name,
    service_name,
    ifNull(feature, '') AS feature_name,
    span_count,
    error_count,
    llm_calls,
    failing,
    failure_reasons,
    sample_weight
FROM tenant_traces(tenant = {tenant:String})
WHERE true /* conditions */
ORDER BY start_time DESC, trace_id
LIMIT {limit:UInt32}
