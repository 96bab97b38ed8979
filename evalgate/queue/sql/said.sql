-- The labels that stand of the traces of a queue.
SELECT trace_id, span_id, annotator, verdict, failure_mode, role, toUnixTimestamp64Micro(created_at) AS at_unix_us
FROM tenant_annotations(tenant = {tenant:String})
WHERE trace_id IN (SELECT trace_id FROM tenant_queue_items(tenant = {tenant:String}) WHERE queue = {queue:String})
    AND (empty({trace_ids:Array(String)}) OR has({trace_ids:Array(String)}, trace_id))
ORDER BY trace_id, created_at, annotation_id
