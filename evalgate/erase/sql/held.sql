-- The traces that somebody holds, and why.
SELECT tenant, trace_id, toString(since, 'UTC') AS since, reason, actor
FROM held_traces
WHERE {tenant:String} = '' OR tenant = {tenant:String}
ORDER BY tenant, trace_id
