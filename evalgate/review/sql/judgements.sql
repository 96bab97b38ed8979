-- What people said of the traces and spans that several labelled: everything that stands.
SELECT trace_id, span_id, annotation_id, toUnixTimestamp64Micro(created_at) AS created_unix_us, annotator, verdict,
    failure_mode, comment, queue, role
FROM tenant_annotations(tenant = {tenant:String})
WHERE (trace_id, span_id) IN
    (
        SELECT trace_id, span_id
        FROM tenant_annotations(tenant = {tenant:String})
        WHERE role != 'adjudication' /* conditions */
        GROUP BY trace_id, span_id
        HAVING uniqExact(annotator) > 1
    )
    AND (role = 'adjudication' OR (true /* conditions */))
ORDER BY trace_id, span_id, created_at, annotation_id
