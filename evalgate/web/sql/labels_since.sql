-- Standing labels that were given since then, by person.
SELECT annotator, count() AS labels, countIf(verdict != 'good') AS failures
FROM tenant_annotations(tenant = {tenant:String})
WHERE created_at >= toDateTime64({since:Int64}, 6, 'UTC')
GROUP BY annotator
ORDER BY labels DESC, annotator
LIMIT 50
