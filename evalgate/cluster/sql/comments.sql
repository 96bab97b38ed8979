-- What people wrote of some traces: reviewers and users.
SELECT trace_id, arrayStringConcat(arraySort(groupUniqArray(10)(said)), ' ') AS comments
FROM
(
    SELECT trace_id, substringUTF8(comment, 1, 400) AS said
    FROM tenant_annotations(tenant = {tenant:String})
    WHERE comment != ''
    UNION ALL
    SELECT trace_id, substringUTF8(ifNull(comment, ''), 1, 400) AS said
    FROM tenant_feedback(tenant = {tenant:String})
    WHERE ifNull(comment, '') != ''
)
WHERE trace_id IN {trace_ids:Array(String)}
GROUP BY trace_id
