-- What there is, by tenant, last day and class: for a plan. Some traces at a time.
SELECT
    tenant, last_day, flagged, reviewed, held,
    count() AS traces, sum(spans) AS spans
FROM
(
/* traces */
)
GROUP BY tenant, last_day, flagged, reviewed, held
SETTINGS max_bytes_before_external_group_by = 134217728
