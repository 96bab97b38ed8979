-- The span of each response: the one that counts, the first where several do.
SELECT
    assumeNotNull(response_id) AS response,
    argMin((lower(hex(trace_id)), lower(hex(span_id))), (NOT ifNull(counted, false), start_time)) AS ids
FROM settled_spans
WHERE tenant = {tenant:String} AND response_id IN {responses:Array(String)}
GROUP BY response
