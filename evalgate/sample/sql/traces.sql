-- What is stored of the traces of a portion.
SELECT
    trace_id,
    max(failing) AS is_failing,
    arraySort(groupUniqArrayArray(failure_reasons)) AS reasons,
    max(baseline) AS is_baseline,
    max(baseline_rate) AS rate,
    max(arrival_rate) AS arrived,
    max(frozen_weight) AS frozen,
    argMinMerge(service_name) AS service,
    ifNull(argMinMerge(feature), '') AS feature_name,
    toUnixTimestamp(min(received_hour)) AS hour_s,
    sum(span_count) AS spans
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE received_hour >= toDateTime({first_s:UInt32}, 'UTC') AND received_hour < toDateTime({last_s:UInt32}, 'UTC')
    /* portion */
GROUP BY trace_id
HAVING spans > 0
