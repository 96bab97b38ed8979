-- Which of some traces are still there.
SELECT DISTINCT lower(hex(trace_id)) AS trace
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE lower(hex(trace_id)) IN {trace_ids:Array(String)} AND span_count > 0
