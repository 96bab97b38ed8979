-- The traces that stand for the clusters that were seen last: the deepest inside of each.
SELECT trace_id, cluster_id
FROM tenant_clustered_traces(tenant = {tenant:String})
WHERE scope = {scope:String}
    AND cluster_id IN (
        SELECT cluster_id
        FROM tenant_clusters(tenant = {tenant:String})
        WHERE scope = {scope:String}
        ORDER BY number DESC, weight DESC, cluster_id
        LIMIT {clusters:UInt32}
    )
ORDER BY cluster_id, representative = 0, number DESC, strength DESC, trace_id
LIMIT {each:UInt32} BY cluster_id
