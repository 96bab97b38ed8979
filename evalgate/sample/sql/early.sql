-- Traces of which something was received before: they are not of this time, and only half of them would be read.
SELECT DISTINCT trace_id
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE received_hour < toDateTime({since_s:UInt32}, 'UTC') AND span_count > 0 AND trace_id IN (
    SELECT trace_id
    FROM tenant_trace_parts(tenant = {tenant:String})
    WHERE received_hour >= toDateTime({since_s:UInt32}, 'UTC')
)
