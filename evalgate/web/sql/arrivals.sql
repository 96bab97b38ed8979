-- What came since a moment, by who sent it and by which instrumentation.
SELECT
    service_name,
    scope_name,
    max(scope_version) AS latest_version,
    count() AS span_count,
    uniq(trace_id) AS trace_count,
    countIf(isNotNull(span_kind) AND span_kind != 'other') AS understood_count,
    countIf(notEmpty(defects)) AS defect_count,
    arraySort(groupUniqArrayArray(20)(CAST(defects, 'Array(String)'))) AS kinds_of_defect,
    lower(hex(any(trace_id))) AS example_trace,
    toUnixTimestamp64Nano(max(received_at)) AS last_unix_ns
FROM tenant_spans(tenant = {tenant:String})
WHERE received_at >= toDateTime64({from_s:Int64}, 9, 'UTC')
GROUP BY service_name, scope_name
ORDER BY last_unix_ns DESC
LIMIT 100
