-- What earlier settlements made of the spans of these traces.
SELECT received_at, sequence, trace_id, span_id, repeated, changed, /* columns */
FROM span_revisions FINAL
WHERE tenant = {tenant:String} AND lower(hex(trace_id)) IN {traces:Array(String)}
