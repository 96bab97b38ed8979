-- The traces that standing labels say a failure mode of, the latest label first.
SELECT trace_id, max(created_at) AS labelled_at
FROM tenant_annotations(tenant = {tenant:String})
WHERE failure_mode = {failure_mode:String} AND verdict != 'good'
GROUP BY trace_id
ORDER BY labelled_at DESC, trace_id
