-- A condition: traces with a part that began within a time. It is met by every trace that began within it.
trace_id IN (
    SELECT lower(hex(trace_id))
    FROM tenant_trace_parts(tenant = {tenant:String})
    WHERE start_time >= fromUnixTimestamp64Nano({from_ns:Int64}) AND start_time < fromUnixTimestamp64Nano({until_ns:Int64})
)
