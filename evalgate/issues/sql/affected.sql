-- Whose some traces are.
SELECT
    groupUniqArrayIf(user, user != '') AS users,
    groupUniqArrayIf(session, session != '') AS sessions,
    countIf(user != '') AS with_user,
    countIf(session != '') AS with_session
FROM
(
    SELECT ifNull(user_id, '') AS user, ifNull(session_id, '') AS session
    FROM tenant_traces(tenant = {tenant:String})
    WHERE trace_id IN {trace_ids:Array(String)}
)
