-- Every issue that was ever opened, those that were merged into others, too.
SELECT
    number,
    failure_mode,
    status,
    toUnixTimestamp64Micro(status_since) AS since_unix_us,
    merged_into
FROM tenant_issues(tenant = {tenant:String})
ORDER BY number
