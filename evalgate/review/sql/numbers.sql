-- The number of every failure mode that has one.
SELECT failure_mode, min(number) AS number
FROM tenant_issues(tenant = {tenant:String})
GROUP BY failure_mode
ORDER BY number
