-- What the estimates of each group are made of: sums over traces, then sessions, then groups. One row for each group and
-- measure, where '' is every trace. What a trace is worth (w): itself, and those that a sampler before us left out, and
-- once what nobody flagged of its time is gone (`thinned`), also those. Rows that stand for nothing are counted apart: kept
-- for a person though not sampled, or of rate 0, so that nothing else of their kind is here. A thinned trace that fails and
-- has the weight of the sample failed when the others were gone (`late`).
SELECT
    group_name,
    measure,
    sum(a_rows) AS traces,
    sum(a) AS weight,
    sum(a2) AS weight2,
    countIf(a > 0) AS sessions,
    sum(a * a) AS session_aa,
    sum(a * b) AS session_ab,
    max(b_unseen_event) AS unseen_event,
    max(b_unseen_other) AS unseen_other,
    sum(b_thinned) AS thinned,
    sum(b_thinned_weight) AS thinned_weight,
    sum(b_apart) AS apart,
    sum(b_rate_0) AS rate_0,
    sum(b_sampled) AS sampled,
    sum(b_late) AS late,
    max(b_heaviest_w) AS heaviest_weight,
    argMax(b_heaviest, b_heaviest_w) AS heaviest_trace_id,
    min(b_first) AS first_unix_s,
    max(b_last) AS last_unix_s,
    sum(b_cost) AS cost,
    sum(b_priced) AS priced,
    sum(b_cost * b_cost) AS cost_aa,
    sum(b_cost * b_priced) AS cost_ab,
    sum(b_priced * b_priced) AS cost_bb,
    sum(b_ms) AS ms,
    sum(b_ms * b_ms) AS ms_aa,
    sum(b_ms * b) AS ms_ab
FROM
(
    SELECT
        group_name,
        sumMap(
            measures, arrayMap(x -> w, measures), arrayMap(x -> w * w, measures), arrayMap(x -> toUInt64(1), measures)
        ) AS m,
        tupleElement(m, 1) AS m_names,
        tupleElement(m, 2) AS m_weights,
        tupleElement(m, 3) AS m_weights2,
        tupleElement(m, 4) AS m_rows,
        sum(w) AS b,
        max(unseen_event_w) AS b_unseen_event,
        max(unseen_other_w) AS b_unseen_other,
        countIf(is_thinned AND w > 0) AS b_thinned,
        sumIf(w, is_thinned) AS b_thinned_weight,
        countIf(w = 0 AND NOT is_rate_0) AS b_apart,
        countIf(is_rate_0) AS b_rate_0,
        countIf(w > 0 AND is_sampled) AS b_sampled,
        countIf(w > unseen_event_w * 1.0001 AND is_failing) AS b_late,
        max(w) AS b_heaviest_w,
        argMax(trace_id, w) AS b_heaviest,
        min(started_unix_s) AS b_first,
        max(started_unix_s) AS b_last,
        sum(w * ifNull(cost, 0.)) AS b_cost,
        sumIf(w, isNotNull(cost)) AS b_priced,
        sum(w * ms) AS b_ms
    FROM
    (
        SELECT
            trace_id,
            ifNull(toString(/* group */), '') AS group_name,
            sipHash64(session_key) AS session,
            toUnixTimestamp(start_time) AS started_unix_s,
            cost_usd AS cost,
            duration_ms AS ms,
            isNotNull(frozen_weight) AS is_thinned,
            1. / ifNull(nullIf(arrival_rate, 0.), 1.) AS unseen_event_w,
            is_thinned AND least(ifNull(arrival_rate, 1.), baseline_rate) <= 0 AS is_rate_0,
            multiIf(is_rate_0, 0., is_thinned, assumeNotNull(frozen_weight), unseen_event_w) AS w,
            multiIf(
                is_rate_0, 0., is_thinned, 1. / least(ifNull(arrival_rate, 1.), baseline_rate), unseen_event_w
            ) AS unseen_other_w,
            failing AS is_failing,
            baseline AND NOT failing AS is_sampled,
            if(
                w > 0,
                arrayConcat(
                    [''],
                    if(failing, ['failing'], []),
                    if(arrayExists(x -> startsWith(x, 'feedback:'), failure_reasons), ['thumbs_down'], []),
                    arrayMap(x -> concat('reason:', x), failure_reasons)
                ),
                []
            ) AS measures
        FROM tenant_traces(tenant = {tenant:String})
        WHERE true /* conditions */
    )
    GROUP BY group_name, session
)
LEFT ARRAY JOIN m_names AS measure, m_weights AS a, m_weights2 AS a2, m_rows AS a_rows
GROUP BY group_name, measure
ORDER BY measure != '', weight DESC, group_name, measure
LIMIT {limit:UInt32}
