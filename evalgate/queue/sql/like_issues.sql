-- The traces that were labelled with some failure modes, and those that lie in one cluster with one of them.
SELECT trace_id, max(labelled) AS is_labelled
FROM
(
    SELECT trace_id, 1 AS labelled
    FROM tenant_annotations(tenant = {tenant:String})
    WHERE failure_mode IN {modes:Array(String)}
    UNION ALL
    SELECT trace_id, 0 AS labelled
    FROM tenant_clustered_traces(tenant = {tenant:String})
    WHERE cluster_id > 0
        AND (scope, cluster_id) IN (
            SELECT scope, cluster_id
            FROM tenant_clustered_traces(tenant = {tenant:String})
            WHERE cluster_id > 0
                AND trace_id IN (
                    SELECT trace_id
                    FROM tenant_annotations(tenant = {tenant:String})
                    WHERE failure_mode IN {modes:Array(String)}
                )
        )
)
GROUP BY trace_id
