-- What each of several people last said of the same trace or span.
SELECT trace_id, span_id, groupArray(labelled) AS said
FROM
(
    SELECT trace_id, span_id, annotator, argMax((verdict, failure_mode), created_at) AS labelled
    FROM tenant_annotations(tenant = {tenant:String})
    GROUP BY trace_id, span_id, annotator
)
GROUP BY trace_id, span_id
HAVING count() > 1
ORDER BY trace_id, span_id
