-- Traces that a standing label says a failure mode of, and when they began; 0 where the trace has expired. Of what one
-- person said of one trace or span the latest counts, as it does for its case.
SELECT
    l.failure_mode AS failure_mode,
    l.trace_id AS trace_id,
    l.labelled_unix_us AS labelled_unix_us,
    t.start_unix_ns AS start_unix_ns
FROM
(
    SELECT said.1 AS failure_mode, trace_id, toUnixTimestamp64Micro(min(said_at)) AS labelled_unix_us
    FROM
    (
        SELECT trace_id, argMax((failure_mode, verdict), created_at) AS said, max(created_at) AS said_at
        FROM tenant_annotations(tenant = {tenant:String})
        GROUP BY trace_id, span_id, annotator
    )
    WHERE said.1 != '' AND said.2 != 'good'
    GROUP BY failure_mode, trace_id
) AS l
LEFT JOIN
(
    SELECT trace_id, toUnixTimestamp64Nano(start_time) AS start_unix_ns
    FROM tenant_traces(tenant = {tenant:String})
    WHERE trace_id IN (
        SELECT trace_id FROM tenant_annotations(tenant = {tenant:String}) WHERE failure_mode != ''
    )
) AS t ON l.trace_id = t.trace_id
ORDER BY failure_mode, trace_id
