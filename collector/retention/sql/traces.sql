    -- What is known of each trace: until when something came of it, what holds it, and for what it stands.
    SELECT
        tenant,
        id,
        t_last_day AS last_day,
        t_spans AS spans,
        -- Feedback is a log record, too, for the most part.
        greatest(t_logs, t_feedback) AS records,
        t_failing OR t_baseline AS flagged,
        (tenant, lower(hex(id))) IN (SELECT tenant, trace_id FROM annotations_latest)
            OR (tenant, lower(hex(id))) IN (SELECT tenant, trace_id FROM cases) AS reviewed,
        (tenant, lower(hex(id))) IN (SELECT tenant, trace_id FROM held_traces) AS held,
        isNotNull(t_frozen_weight) AS frozen,
        -- As the view `traces` has it.
        multiIf(
            t_failing, 1. / if(t_arrival_rate > 0, assumeNotNull(t_arrival_rate), 1.),
            t_baseline, 1. / if(least(ifNull(t_arrival_rate, 1.), ifNull(t_baseline_rate, 0.)) > 0,
                least(ifNull(t_arrival_rate, 1.), ifNull(t_baseline_rate, 0.)), 1.),
            0.
        ) AS weight,
        ifNull(t_arrival_rate, 1.) AS arrival_rate
    FROM
    (
        SELECT
            tenant,
            id,
            max(day) AS t_last_day,
            sum(span_count) AS t_spans,
            sum(log_count) AS t_logs,
            sum(feedback_count) AS t_feedback,
            max(failing) AS t_failing,
            max(baseline) AS t_baseline,
            max(baseline_rate) AS t_baseline_rate,
            max(arrival_rate) AS t_arrival_rate,
            max(frozen_weight) AS t_frozen_weight
        FROM
        (
/* rows_of_traces */
        )
        GROUP BY tenant, id
    )
