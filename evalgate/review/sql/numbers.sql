-- The number of every failure mode that has one.
SELECT failure_mode, min(number) AS number
FROM tenant_issues(tenant = {tenant:String})
WHERE merged_into = 0
GROUP BY failure_mode
ORDER BY number
