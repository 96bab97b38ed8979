-- Every cluster of a scope, those that the latest run saw first.
SELECT
    cluster_id, scope, number, name, terms, traces, failing_traces, weight, total_weight,
    toUnixTimestamp64Micro(first_seen) AS first_unix_us,
    toUnixTimestamp64Micro(last_seen) AS last_unix_us,
    root_names, features, failure_reasons, tool_paths, trend, early_traces, late_traces, early_total, late_total, runs
FROM tenant_clusters(tenant = {tenant:String})
WHERE scope = {scope:String}
ORDER BY number DESC, weight DESC, cluster_id
