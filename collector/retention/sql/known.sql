-- Whose the traces are: what is stored of them, or is being removed.
SELECT DISTINCT tenant, lower(hex(id)) AS trace
FROM
(
    SELECT tenant, trace_id AS id FROM trace_parts WHERE lower(hex(trace_id)) IN {traces:Array(String)} AND span_count > 0
    UNION ALL
    SELECT tenant, trace_id AS id FROM events WHERE lower(hex(trace_id)) IN {traces:Array(String)}
)
ORDER BY trace, tenant
