-- Words of labels that mean another failure mode by now.
SELECT said, failure_mode
FROM tenant_mode_names(tenant = {tenant:String})
WHERE annotation_id = '' AND said != failure_mode
