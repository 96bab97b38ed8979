-- Traces of a run of which something came, or which somebody reviewed, since it decided.
SELECT count() AS n
FROM
(
    SELECT tenant, id FROM
    (
/* rows_of_traces */
    )
    UNION ALL
    SELECT tenant, toFixedString(unhex(trace_id), 16) AS id FROM annotations_latest
    WHERE match(trace_id, '^[0-9a-f]{32}\\z') AND created_at >= {since:DateTime64(6, 'UTC')}
)
WHERE /* of_run */
