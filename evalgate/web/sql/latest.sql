-- When the last trace came, of those received in the last hours; 0 where none did.
SELECT ifNull(toUnixTimestamp64Nano(max(received_at)), 0) AS received_unix_ns
FROM tenant_trace_parts(tenant = {tenant:String})
WHERE received_hour >= toDateTime({from_s:UInt32}, 'UTC')
