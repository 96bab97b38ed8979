-- A condition: one in so many of the traces of which something was received from this hour on, by a hash of their ids.
cityHash64(trace_id) % {one_in:UInt32} = 0 AND trace_id IN (
    SELECT lower(hex(trace_id))
    FROM tenant_trace_parts(tenant = {tenant:String})
    WHERE received_hour >= toDateTime({received_from:UInt32}, 'UTC')
        AND cityHash64(lower(hex(trace_id))) % {one_in:UInt32} = 0
)
