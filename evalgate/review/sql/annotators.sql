-- Who has labels that stand.
SELECT annotator, count() AS labels
FROM annotations_latest
WHERE tenant = {tenant:String}
GROUP BY annotator
ORDER BY labels DESC, annotator
LIMIT 10
