-- A condition: traces that their latest run put into one of these clusters.
trace_id IN (
    SELECT trace_id
    FROM tenant_clustered_traces(tenant = {tenant:String})
    WHERE cluster_id IN {clusters:Array(UInt32)}
)
