-- Who has labels that stand.
SELECT annotator, count() AS labels
FROM tenant_annotations(tenant = {tenant:String})
GROUP BY annotator
ORDER BY labels DESC, annotator
LIMIT 10
