-- The failure modes that people have named, the frequent ones first.
SELECT failure_mode, count() AS labels
FROM annotations_latest
WHERE tenant = {tenant:String} AND failure_mode != ''
GROUP BY failure_mode
ORDER BY labels DESC, failure_mode
