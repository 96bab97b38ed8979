-- What happened to a cluster, and to those that came out of it or ended in it.
SELECT number, event, cluster_id, other_id, share
FROM tenant_cluster_events(tenant = {tenant:String})
WHERE (cluster_id = {cluster_id:UInt32} OR other_id = {cluster_id:UInt32})
    AND run_id IN (SELECT argMin(run_id, at) FROM tenant_cluster_runs(tenant = {tenant:String}) GROUP BY number)
ORDER BY number, cluster_id, event
