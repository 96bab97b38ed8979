-- Every number that was given, with what its failure mode is called now; of an issue that was merged into another, into
-- which, else 0.
SELECT number, failure_mode, merged_into
FROM tenant_issues(tenant = {tenant:String})
ORDER BY number
