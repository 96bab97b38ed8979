-- Traces that were found to fail after they had gone.
SELECT uniq(d.tenant, d.trace_id) AS n
FROM
(
    SELECT tenant, trace_id, last_day FROM retention_decisions
    WHERE fate = 'goes' AND run IN (SELECT run FROM retention_log WHERE kind = 'decided')
) AS d
INNER JOIN
(
    SELECT tenant, trace_id, max(received_hour) AS latest FROM trace_parts
    WHERE failing AND toDate(received_hour) >= {since:Date}
    GROUP BY tenant, trace_id
) AS p ON d.tenant = p.tenant AND d.trace_id = p.trace_id
WHERE toDate(p.latest) > d.last_day
