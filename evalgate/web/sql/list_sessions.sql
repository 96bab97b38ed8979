-- Sessions by when something last began in them. A trace of no session is one of its own.
SELECT
    session_key,
    count() AS trace_count,
    countIf(failing) AS failing_count,
    min(toUnixTimestamp64Nano(start_time)) AS first_unix_ns,
    max(toUnixTimestamp64Nano(start_time)) AS last_unix_ns,
    argMin(trace_id, start_time) AS first_trace,
    sum(ifNull(input_tokens, 0) + ifNull(output_tokens, 0)) AS tokens,
    sum(cost_usd) AS cost,
    max(user_id) AS some_user,
    argMax(service_name, start_time) AS last_service,
    max(isNotNull(session_id)) AS is_named,
    arraySort(groupUniqArrayArray(failure_reasons)) AS reasons
FROM tenant_traces(tenant = {tenant:String})
WHERE start_time >= fromUnixTimestamp64Nano({from_ns:Int64}) AND start_time < fromUnixTimestamp64Nano({until_ns:Int64})
    /* conditions */
GROUP BY session_key
HAVING /* having */ (last_unix_ns, session_key) < ({after_key:Int64}, {after_id:String})
ORDER BY last_unix_ns DESC, session_key DESC
LIMIT {limit:UInt32}
/* bounds */
