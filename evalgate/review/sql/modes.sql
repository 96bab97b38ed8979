-- The failure modes that people have named, the frequent ones first.
SELECT failure_mode, count() AS labels
FROM tenant_annotations(tenant = {tenant:String})
WHERE failure_mode != ''
GROUP BY failure_mode
ORDER BY labels DESC, failure_mode
