-- The policy under which the last span came.
SELECT argMax(policy_version, received_at) AS version
FROM tenant_spans(tenant = {tenant:String})
WHERE isNotNull(policy_version) AND received_at >= (
    SELECT max(received_hour) FROM tenant_trace_parts(tenant = {tenant:String}) WHERE span_count > 0
)
