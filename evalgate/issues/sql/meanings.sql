-- What standing labels mean that name a failure mode.
SELECT annotation_id, failure_mode
FROM tenant_annotations(tenant = {tenant:String})
WHERE failure_mode != ''
