-- The last labels of one annotator that stand.
SELECT annotation_id, trace_id, span_id, verdict, failure_mode, corrected_output, comment, annotator
FROM tenant_annotations(tenant = {tenant:String})
WHERE annotator = {annotator:String}
ORDER BY created_at DESC, annotation_id
LIMIT {limit:UInt32}
