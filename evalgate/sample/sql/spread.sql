-- Traces of which something was received in more than one hour, feedback included: they are read by themselves.
SELECT trace_id
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE received_hour >= toDateTime({since_s:UInt32}, 'UTC')
GROUP BY trace_id
HAVING min(received_hour) != max(received_hour) AND sum(span_count) > 0
