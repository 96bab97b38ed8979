-- What becomes of the candidates of a run, by all that is known of each now.
INSERT INTO retention_decisions (run, fate, tenant, trace_id, last_day, weight, span_weight)
SELECT {run:String}, if(goes, 'goes', 'stays'), tenant, id, last_day, weight, weight * arrival_rate
FROM
(
    SELECT
        *,
        NOT held AND /* age */ > if(flagged OR reviewed, /* flagged_days */, /* other_days */) AS goes,
        NOT frozen AND spans > 0 AND /* age */ > /* other_days */ AS freezes
    FROM
    (
/* traces */
    )
)
WHERE goes OR freezes
