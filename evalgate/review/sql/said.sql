-- What people said of every trace and span: who differs is found in these.
SELECT trace_id, span_id, annotation_id, toUnixTimestamp64Micro(created_at) AS created_unix_us, annotator, verdict,
    failure_mode, role
FROM tenant_annotations(tenant = {tenant:String})
WHERE true /* conditions */
ORDER BY trace_id, span_id, created_at, annotation_id
