-- How many standing labels mean each failure mode.
SELECT failure_mode, count() AS labels
FROM tenant_annotations(tenant = {tenant:String})
WHERE failure_mode != ''
GROUP BY failure_mode
