-- A condition: traces of which something was received from this hour on.
trace_id IN (
    SELECT lower(hex(trace_id))
    FROM tenant_trace_parts(tenant = {tenant:String})
    WHERE received_hour >= toDateTime({received_from:UInt32}, 'UTC')
)
