-- Standing labels that mean one failure mode.
SELECT annotation_id, trace_id
FROM tenant_annotations(tenant = {tenant:String})
WHERE failure_mode = {failure_mode:String}
ORDER BY trace_id, annotation_id
