-- The days in which there are spans of another weight from now on.
SELECT DISTINCT toDate(received_hour) AS day
FROM trace_parts
WHERE span_count > 0 AND toDate(received_hour) <= {until:Date} AND (tenant, trace_id) IN (
    SELECT tenant, trace_id FROM retention_decisions WHERE run = {run:String} AND fate = 'stays' AND span_weight != 1
)
ORDER BY day
