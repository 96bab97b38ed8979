-- Whose traces there are.
SELECT DISTINCT tenant
FROM trace_parts
ORDER BY tenant
LIMIT 50
