SELECT DISTINCT lower(hex(trace_id)) AS trace_id
FROM trace_parts
WHERE tenant = {tenant:String}
