-- A condition on spans: of the traces that picked.sql returns.
trace_id IN (
    SELECT toFixedString(unhex(trace_id), 16)
    FROM
    (
        SELECT trace_id
        FROM tenant_traces(tenant = {tenant:String})
        WHERE true /* conditions */
        ORDER BY start_time DESC, trace_id
        LIMIT {limit:UInt32}
    )
)
