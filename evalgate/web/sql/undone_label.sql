-- Whether an annotation was undone.
SELECT annotation_id
FROM tenant_undone_annotations(tenant = {tenant:String})
WHERE annotation_id = {annotation_id:String}
LIMIT 1
