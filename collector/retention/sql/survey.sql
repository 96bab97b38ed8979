-- What there is, by tenant, last day and class: for a plan. Some traces at a time.
SELECT
    tenant, last_day, flagged, reviewed, held, spans > 0 AS has_spans,
    count() AS traces, sum(spans) AS n_spans, sum(records) AS n_records
FROM
(
/* traces */
)
GROUP BY tenant, last_day, flagged, reviewed, held, has_spans
SETTINGS max_bytes_before_external_group_by = 134217728
