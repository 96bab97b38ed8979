-- When the first of a trace came.
SELECT toUnixTimestamp(min(received_hour)) AS received_s
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE lower(hex(trace_id)) = {trace:String} AND span_count > 0
