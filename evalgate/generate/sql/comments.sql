-- What annotators said of their labels, where they said anything.
SELECT annotation_id, comment
FROM tenant_annotations(tenant = {tenant:String})
WHERE comment != ''
    AND failure_mode = {failure_mode:String}
