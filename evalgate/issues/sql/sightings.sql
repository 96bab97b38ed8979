-- Traces that a standing label says a failure mode of, when they began (0 where the trace has expired), and for how
-- many they stand; whose they are would cost three times as much (measured), and is asked of one issue alone. Of what
-- one person said of one trace or span the latest counts, as it does for its case; where somebody decided between
-- several, only that. `worst` is the highest severity, 0 where nobody said; of a decision that names none the highest
-- of those between which it was made.
SELECT
    l.failure_mode AS failure_mode,
    l.trace_id AS trace_id,
    l.labelled_unix_us AS labelled_unix_us,
    l.worst AS worst,
    t.start_unix_ns AS start_unix_ns,
    t.weight AS sample_weight
FROM
(
    SELECT
        said.1 AS failure_mode,
        trace_id,
        toUnixTimestamp64Micro(min(said_at)) AS labelled_unix_us,
        max(if(severity = 0 AND decides, undecided, severity)) AS worst
    FROM
    (
        SELECT
            *,
            max(decides) OVER item AS decided,
            indexOf(['low', 'medium', 'high', 'critical'], said.3) AS severity,
            max(if(said.2 = 'good', 0, severity)) OVER item AS undecided
        FROM
        (
            SELECT
                trace_id,
                span_id,
                role = 'adjudication' AS decides,
                argMax((failure_mode, verdict, severity), created_at) AS said,
                min(created_at) AS said_at
            FROM tenant_annotations(tenant = {tenant:String})
            GROUP BY trace_id, span_id, if(role = 'adjudication', '', annotator), role
        )
        WINDOW item AS (PARTITION BY trace_id, span_id)
    )
    WHERE said.1 != '' AND said.2 != 'good' AND decides = decided
    GROUP BY failure_mode, trace_id
) AS l
LEFT JOIN
(
    SELECT
        trace_id,
        toUnixTimestamp64Nano(start_time) AS start_unix_ns,
        sample_weight AS weight
    FROM tenant_traces(tenant = {tenant:String})
    WHERE trace_id IN (
        SELECT trace_id FROM tenant_annotations(tenant = {tenant:String}) WHERE failure_mode != ''
    )
) AS t ON l.trace_id = t.trace_id
ORDER BY failure_mode, trace_id
