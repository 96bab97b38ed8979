-- How many traces have a label that stands, and how many were labelled since Monday.
SELECT
    uniqExact(trace_id) AS traces,
    uniqExactIf(trace_id, created_at >= fromUnixTimestamp64Micro({monday_us:Int64}, 'UTC')) AS this_week
FROM tenant_annotations(tenant = {tenant:String})
