-- The last labels of one annotator that stand.
SELECT annotation_id, toUnixTimestamp64Micro(created_at) AS created_unix_us, trace_id, span_id, verdict, failure_mode,
    corrected_output, comment, annotator, severity, anchor, queue, role
FROM tenant_annotations(tenant = {tenant:String})
WHERE annotator = {annotator:String} /* conditions */
ORDER BY created_at DESC, annotation_id
LIMIT {limit:UInt32}
