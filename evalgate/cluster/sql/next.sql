-- The number that the next run takes, and the id that the next cluster takes.
SELECT
    (SELECT max(number) FROM tenant_cluster_runs(tenant = {tenant:String})) + 1 AS next_number,
    (SELECT max(cluster_id) FROM tenant_clusters(tenant = {tenant:String})) + 1 AS next_id
