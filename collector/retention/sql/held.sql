SELECT tenant, trace_id AS trace, since, reason, actor
FROM held_traces
WHERE {tenant:String} = '' OR tenant = {tenant:String}
ORDER BY since, tenant, trace
