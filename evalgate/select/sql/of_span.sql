-- A condition: traces with a span that meets conditions.
trace_id IN (
    SELECT lower(hex(trace_id))
    FROM tenant_settled_spans(tenant = {tenant:String})
    WHERE true /* conditions */
)
