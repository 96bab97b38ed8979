-- Who stands for each cluster of a run: the first few, the medoid first.
SELECT cluster_id, trace_id
FROM tenant_clustered_traces(tenant = {tenant:String})
WHERE scope = {scope:String} AND number = {number:UInt32} AND representative > 0
ORDER BY cluster_id, representative
LIMIT {each:UInt32} BY cluster_id
