-- The settings behind a version; where none is named, those that were new last.
SELECT version, body
FROM sampling_policies
WHERE {version:String} IN ('', version)
ORDER BY first_seen DESC
LIMIT 1
