-- Spans of a portion whose traces say something else as a whole than their INSERTs did: of these traces, all.
SELECT 1 /* columns */
FROM tenant_settled_spans(tenant = {tenant:String})
WHERE received_at >= toDateTime({first_s:UInt32}, 'UTC') AND received_at < toDateTime({last_s:UInt32}, 'UTC')
    /* portion */
    AND trace_id IN (
        SELECT trace_id
        FROM tenant_span_revisions(tenant = {tenant:String})
        WHERE received_at >= toDateTime({first_s:UInt32}, 'UTC') AND received_at < toDateTime({last_s:UInt32}, 'UTC')
    )
