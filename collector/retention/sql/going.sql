-- Which of these traces a run decided to remove, and when.
SELECT tenant, lower(hex(trace_id)) AS trace, max(at) AS decided_at
FROM retention_decisions
WHERE fate = 'goes' AND lower(hex(trace_id)) IN {traces:Array(String)}
    AND run IN (SELECT run FROM retention_log WHERE kind = 'decided')
GROUP BY tenant, trace_id
