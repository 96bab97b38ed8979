-- The labels of some traces that stand.
SELECT trace_id, annotation_id, toUnixTimestamp64Micro(created_at) AS created_unix_us, span_id, verdict, failure_mode,
    corrected_output, comment, annotator, severity, anchor, queue, role, failure_mode_said
FROM tenant_annotations(tenant = {tenant:String})
WHERE trace_id IN {trace_ids:Array(String)}
ORDER BY created_at
