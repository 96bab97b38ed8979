-- How many labels mean each failure mode: of what one person said of one trace or span the latest.
SELECT said.1 AS failure_mode, count() AS labels
FROM
(
    SELECT argMax((failure_mode, verdict), created_at) AS said
    FROM tenant_annotations(tenant = {tenant:String})
    GROUP BY trace_id, span_id, annotator
)
WHERE said.1 != '' AND said.2 != 'good'
GROUP BY failure_mode
