-- What was said of some traces.
SELECT trace_id, span_id, name, value, label, comment, source, polarity, time_unix_ns
FROM tenant_feedback(tenant = {tenant:String})
WHERE trace_id IN {trace_ids:Array(String)}
ORDER BY time_unix_ns
