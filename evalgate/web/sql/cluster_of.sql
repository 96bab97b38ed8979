-- The clusters that hold a trace: of failures, and of all traffic.
SELECT scope, cluster_id, strength, representative
FROM tenant_clustered_traces(tenant = {tenant:String})
WHERE trace_id = {trace_id:String}
ORDER BY scope
LIMIT 20
