-- What was said of one trace.
SELECT span_id, name, value, label, comment, source, polarity, time_unix_ns
FROM tenant_feedback(tenant = {tenant:String})
WHERE trace_id = {trace_id:String}
ORDER BY time_unix_ns
