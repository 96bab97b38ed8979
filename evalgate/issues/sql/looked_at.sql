-- Labelled traces that began before and after a moment, and how many of them show one failure mode.
SELECT
    start_unix_us > {at_unix_us:Int64} AS is_after,
    count() AS traces,
    countIf(shows) AS showing,
    sum(sample_weight) AS w,
    sumIf(sample_weight, shows) AS w_showing,
    sum(sample_weight * sample_weight) AS w2
FROM
(
    SELECT l.shows AS shows, t.sample_weight AS sample_weight, t.start_unix_us AS start_unix_us
    FROM
    (
        SELECT trace_id, max(failure_mode = {failure_mode:String} AND verdict != 'good') AS shows
        FROM tenant_annotations(tenant = {tenant:String})
        GROUP BY trace_id
    ) AS l
    INNER JOIN
    (
        SELECT trace_id, sample_weight, toUnixTimestamp64Micro(start_time) AS start_unix_us
        FROM tenant_traces(tenant = {tenant:String})
        WHERE trace_id IN (SELECT trace_id FROM tenant_annotations(tenant = {tenant:String}))
    ) AS t ON l.trace_id = t.trace_id
    WHERE t.start_unix_us >= {from_unix_us:Int64}
)
GROUP BY is_after
