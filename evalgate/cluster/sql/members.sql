-- The traces that a run put in a cluster and that no later one put elsewhere: who stands for it first.
SELECT trace_id, representative, strength, in_window, sample_weight, toUnixTimestamp64Micro(start_time) AS start_unix_us
FROM tenant_clustered_traces(tenant = {tenant:String})
WHERE cluster_id = {cluster_id:UInt32} AND number = {number:UInt32}
ORDER BY representative = 0, representative, strength DESC, trace_id
