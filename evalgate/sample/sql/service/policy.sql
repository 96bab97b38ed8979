-- The sampling policy of the spans that came last.
SELECT policies.version AS version, policies.body AS body, policies.first_seen AS first_seen
FROM sampling_policies AS policies
ORDER BY policies.first_seen DESC
LIMIT 1
