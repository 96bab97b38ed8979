-- The annotations of some traces that stand, with everything that they say: the failure mode as it was said, whatever
-- it is called now.
SELECT annotation_id, toUnixTimestamp64Micro(created_at) AS created_unix_us, trace_id, span_id, verdict,
    failure_mode_said AS failure_mode, corrected_output, comment, annotator, severity, anchor, queue, role
FROM tenant_annotations(tenant = {tenant:String})
WHERE trace_id IN {trace_ids:Array(String)}
ORDER BY trace_id, created_at, annotation_id
