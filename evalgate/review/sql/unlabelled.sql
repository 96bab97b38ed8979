-- Flagged traces that nobody has labelled: what failed first, then what was sampled, the latest first.
SELECT trace_id
FROM tenant_flagged_traces(tenant = {tenant:String})
WHERE true /* conditions */
    AND trace_id NOT IN (SELECT trace_id FROM tenant_annotations(tenant = {tenant:String}))
ORDER BY failing DESC, start_time DESC, trace_id
