-- The runs that count: of one number the first.
SELECT number, r.1 AS run_id, toUnixTimestamp64Micro(first_at) AS at_unix_us, r.2 AS scope, r.3 AS body
FROM
(
    SELECT number, argMin((run_id, scope, body), at) AS r, min(at) AS first_at
    FROM tenant_cluster_runs(tenant = {tenant:String})
    GROUP BY number
)
ORDER BY number DESC
