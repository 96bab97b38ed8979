-- The queues that hold a trace.
SELECT DISTINCT queue
FROM tenant_queued_traces(tenant = {tenant:String})
WHERE trace_id = {trace_id:String} AND NOT is_removed
ORDER BY queue
