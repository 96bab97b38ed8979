-- Sums over the labelled traces among the flagged ones, failing and others apart. The measure '' is each of them.
-- Who labels takes from the flagged ones: so the weight is that of the sample, whatever else is still stored.
SELECT
    is_failing,
    measure,
    sum(a_rows) AS traces,
    sum(a) AS weight,
    sum(a2) AS weight2,
    countIf(a > 0) AS sessions,
    sum(a * a) AS session_aa,
    sum(a * b) AS session_ab,
    max(b_most) AS unseen_event,
    max(b_most) AS unseen_other,
    sum(b_unsampled) AS unsampled
FROM
(
    SELECT
        is_failing,
        sumMap(
            measures, arrayMap(x -> w, measures), arrayMap(x -> w * w, measures), arrayMap(x -> toUInt64(1), measures)
        ) AS m,
        tupleElement(m, 1) AS m_names,
        tupleElement(m, 2) AS m_weights,
        tupleElement(m, 3) AS m_weights2,
        tupleElement(m, 4) AS m_rows,
        sum(w) AS b,
        max(w) AS b_most,
        countIf(w = 0) AS b_unsampled
    FROM
    (
        SELECT
            failing AS is_failing,
            sipHash64(session_key) AS session,
            sample_weight AS w,
            if(
                w > 0,
                arrayConcat([''], if(l_bad, ['bad'], []), arrayMap(x -> concat('mode:', x), l_modes)),
                []
            ) AS measures
        FROM tenant_traces(tenant = {tenant:String}) AS t
        INNER JOIN
        (
            SELECT
                trace_id AS l_trace_id,
                groupUniqArrayIf(failure_mode, failure_mode != '') AS l_modes,
                max(verdict = 'bad') AS l_bad
            FROM tenant_annotations(tenant = {tenant:String})
            GROUP BY trace_id
        ) AS l ON t.trace_id = l.l_trace_id
        WHERE true /* conditions */
    )
    GROUP BY is_failing, session
)
LEFT ARRAY JOIN m_names AS measure, m_weights AS a, m_weights2 AS a2, m_rows AS a_rows
GROUP BY is_failing, measure
ORDER BY measure != '', traces DESC, measure
LIMIT {limit:UInt32}
