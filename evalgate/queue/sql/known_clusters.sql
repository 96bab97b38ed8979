-- The clusters that there are.
SELECT DISTINCT cluster_id FROM tenant_clusters(tenant = {tenant:String})
