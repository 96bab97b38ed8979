-- The weight of what stays, into every day of it: so that no later run looks at it for that again.
INSERT INTO trace_parts (tenant, received_hour, trace_id, frozen_weight)
SELECT tenant, max(received_hour), trace_id, max(w)
FROM
(
    SELECT p.tenant AS tenant, p.received_hour AS received_hour, p.trace_id AS trace_id, d.weight AS w
    FROM trace_parts AS p
    INNER JOIN
    (
        SELECT tenant, trace_id, weight FROM retention_decisions WHERE run = {run:String} AND fate = 'stays'
    ) AS d ON p.tenant = d.tenant AND p.trace_id = d.trace_id
    WHERE toDate(p.received_hour) <= {until:Date}
)
GROUP BY tenant, trace_id, toDate(received_hour)
SETTINGS max_bytes_before_external_group_by = 134217728
