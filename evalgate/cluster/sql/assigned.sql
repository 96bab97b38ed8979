-- Where every trace was put last.
SELECT trace_id, cluster_id
FROM tenant_clustered_traces(tenant = {tenant:String})
WHERE scope = {scope:String}
