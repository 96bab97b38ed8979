-- How many traces show each failure mode, by the labels that stand.
SELECT failure_mode, uniqExact(trace_id) AS traces
FROM tenant_annotations(tenant = {tenant:String})
WHERE failure_mode != '' AND verdict != 'good'
GROUP BY failure_mode
ORDER BY traces DESC, failure_mode
