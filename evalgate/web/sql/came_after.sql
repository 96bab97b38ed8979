-- Traces that came after a moment of receipt, the latest first: whole traces, so one that goes on is not new again.
SELECT trace_id, toUnixTimestamp64Nano(received_at) AS received_unix_ns, toUnixTimestamp64Nano(start_time) AS start_unix_ns
FROM tenant_traces(tenant = {tenant:String})
WHERE received_at > fromUnixTimestamp64Nano({after_ns:Int64})
    /* conditions */
ORDER BY received_at DESC, trace_id DESC
LIMIT {limit:UInt32}
/* bounds */
