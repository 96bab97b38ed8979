-- The traces whose id begins so, a few are enough to say that it is not unique.
SELECT trace_id
FROM tenant_traces(tenant = {tenant:String})
WHERE startsWith(trace_id, {prefix:String})
ORDER BY trace_id
LIMIT 4
