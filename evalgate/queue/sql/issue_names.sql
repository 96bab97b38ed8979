-- What every issue is called.
SELECT number, failure_mode
FROM tenant_issues(tenant = {tenant:String})
ORDER BY number
