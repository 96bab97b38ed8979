-- What each day of a window brought, weighted as the sums of evalgate stats are: a trace stands for itself, for those a
-- sampler before us left out, and once what nobody flagged of its time is gone, for those too.
SELECT
    toUInt32(toUnixTimestamp(toDateTime(toDate(start_time), 'UTC'))) AS day_unix_s,
    count() AS stored,
    countIf(is_flagged) AS flagged,
    sum(w) AS traces,
    sum(w * ifNull(cost, 0.)) AS cost_usd,
    sumIf(w, isNotNull(cost)) AS priced,
    sumIf(w, calls > 0) AS with_calls,
    sum(w * ifNull(tokens_in, 0)) AS input_tokens,
    sum(w * ifNull(tokens_out, 0)) AS output_tokens,
    quantilesTDigestWeighted(0.5, 0.95)(ms, toUInt32(greatest(round(w), 1))) AS durations_ms
FROM
(
    SELECT
        start_time,
        flagged AS is_flagged,
        cost_usd AS cost,
        llm_calls AS calls,
        input_tokens AS tokens_in,
        output_tokens AS tokens_out,
        duration_ms AS ms,
        multiIf(
            isNotNull(frozen_weight) AND least(ifNull(arrival_rate, 1.), baseline_rate) <= 0, 0.,
            isNotNull(frozen_weight), assumeNotNull(frozen_weight),
            1. / ifNull(nullIf(arrival_rate, 0.), 1.)
        ) AS w
    FROM tenant_traces(tenant = {tenant:String})
    WHERE true /* conditions */
)
WHERE w > 0
GROUP BY day_unix_s
ORDER BY day_unix_s
